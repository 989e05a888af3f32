"""What batching by key costs: separate submits that meet against one `map`, the dispatcher, the wait."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.case import Bars, Case, Figures, Goal
from benchmarks.contenders import WAIT_S
from benchmarks.measuring import cpu_s, median, percentile, tree
from benchmarks.system import penstock_system, publish
from penstock import AsyncProducer, Producer
from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.ledger import (
    BatchHeader,
    Buffer,
    BufferedCall,
    CallEntry,
    DispatchTerms,
    Ledger,
)
from penstock_broker_config.store import connect_store
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler.dispatcher import Dispatcher

KEYS = 100
#: Times that each way is taken, in turns: the kernel counts CPU in hundredths of a second.
ROUNDS = 20
#: Calls of one enqueue, and of one batch.
CHUNK, BATCH = 512, 64
_PARAMS = '{"text":"Hello World 12345"}'
#: What a tool without a table of its own has.
MAX_WAIT_MS = 20


def keyed(calls: int) -> Figures:
    """Separate submits with one batch key against the same calls in one `map`; a worker's CPU per call."""
    used_s = {"map": 0.0, "keyed": 0.0}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        system = stack.enter_context(penstock_system(processes=0, plugins=()))
        publish(system.settings, "text", _with_large_batches(Path(folder), calls))
        stack.enter_context(system.worker(processes=1))
        producer = stack.enter_context(system.producer())
        _map(producer, calls)
        for _ in range(ROUNDS):
            for name in ("map", "keyed"):
                before_s = cpu_s(tree(system.pid("worker")))
                if name == "map":
                    _map(producer, calls)
                else:
                    _submit_each(system.url, calls)
                used_s[name] += cpu_s(tree(system.pid("worker"))) - before_s
    figures = {f"{name}: worker's CPU, µs": used / calls / ROUNDS * 1e6 for name, used in used_s.items()}
    figures["keyed: times as long as one map"] = used_s["keyed"] / used_s["map"]
    return figures


def dispatch(calls: int) -> Figures:
    """Calls that wait under 100 keys: into buffers, and from there into batches whose doorbells ring."""
    with (
        penstock_system(processes=0, scheduler=False, plugins=()) as system,
        connect_store(system.settings) as client,
    ):
        settings = system.settings
        ledger = Ledger(client, settings.keys, settings.retention)
        begun_s = time.perf_counter()
        _enqueue(ledger, calls)
        enqueued_s = time.perf_counter() - begun_s
        dispatcher = Dispatcher(ledger, Doorbell(create_app(settings)), DispatchTerms(waiting=calls))
        redis_s, begun_s = system.redis_cpu_s(), time.perf_counter()
        while client.exists(settings.keys.buffers):
            dispatcher.step()
        dispatched_s = time.perf_counter() - begun_s
        redis_s = system.redis_cpu_s() - redis_s
    return {
        "into buffers, calls/s": calls / enqueued_s,
        "from buffers to rung doorbells, calls/s": calls / dispatched_s,
        "from buffers to rung doorbells: Redis's CPU, µs": redis_s / calls * 1e6,
    }


def batch_age(turns: int) -> Figures:
    """One keyed call at a time on an idle system: from its acceptance to its execution."""
    waited: list[float] = []
    with penstock_system(processes=1) as system, system.producer() as producer:
        _map(producer, 2_000)
        for turn in range(turns):
            result = producer.submit("text.slug", {"text": "x"}, batch_key=f"key {turn}").result(WAIT_S)
            result.unwrap()
            waited.append(result.metadata.queued_ms)
    return {
        "waited, ms": median(waited),
        "waited p99, ms": percentile(waited, 0.99),
        "waited p99 less the key's max_wait_ms, ms": percentile(waited, 0.99) - MAX_WAIT_MS,
    }


def _with_large_batches(folder: Path, calls: int) -> Path:
    """The plugin `text` with a `slug` whose batches have room for all of them, as chunks of a map have."""
    text = shutil.copytree(shipped_plugins() / "text", folder / "text")
    manifest = (text / "plugin.toml").read_text()
    table = f'name = "slug"\nbatch = {{ max_size = {min(calls, 512)}, max_wait_ms = 1000 }}'
    (text / "plugin.toml").write_text(manifest.replace('name = "slug"', table))
    return text


def _map(producer: Producer, calls: int) -> None:
    for result in producer.map("text.slug", ({"text": f"Hello {n}"} for n in range(calls))).results(WAIT_S):
        result.unwrap()


def _submit_each(url: str, calls: int) -> None:
    """As many producers at once would: nobody waits for anybody else's submit."""

    async def run() -> None:
        async with AsyncProducer.connect(url) as producer:

            async def one(n: int) -> None:
                job = await producer.submit("text.slug", {"text": f"Hello {n}"}, batch_key="k")
                (await job.result(WAIT_S)).unwrap()

            await asyncio.gather(*(one(n) for n in range(calls)))

    asyncio.run(run())


def _enqueue(ledger: Ledger, calls: int) -> None:
    header = BatchHeader(
        job="bench",
        tool="text.slug",
        digest="0" * 64,
        tenant="default",
        queue="penstock.default",
        once=False,
        expires_ms=int(time.time() * 1000) + 86_400_000,
    )
    buffers = [Buffer(key=f"key {n}", max_size=BATCH) for n in range(KEYS)]
    for base in range(0, calls, CHUNK):
        count = min(CHUNK, calls - base)
        entries = [
            BufferedCall(CallEntry(base + k, _PARAMS), (base + k) // BATCH % KEYS) for k in range(count)
        ]
        ledger.enqueue(header, entries, buffers, base=base)


CASES = {
    "keyed": Case(
        run=keyed,
        full=1_000,
        quick=300,
        goals=(
            Goal(
                part=3,
                text="separate submits with one batch key: at most 1.5 times one map, on the worker's side",
                figure="keyed: times as long as one map",
                at_most=1.5,
            ),
        ),
        charts=(
            Bars(
                title="A worker's CPU for each small call: one map, and separate submits that meet",
                unit="µs",
                bars={"one map": "map: worker's CPU, µs", "one batch key": "keyed: worker's CPU, µs"},
            ),
        ),
    ),
    "dispatch": Case(
        run=dispatch,
        full=100_000,
        quick=10_000,
        goals=(
            Goal(
                part=3,
                text="a dispatcher moves at least 10,000 keyed calls a second",
                figure="from buffers to rung doorbells, calls/s",
                at_least=10_000,
            ),
        ),
    ),
    "batch_age": Case(
        run=batch_age,
        full=300,
        quick=50,
        goals=(
            Goal(
                part=3,
                text="a keyed call waits at most 20 ms longer than its max_wait_ms (99th percentile, idle)",
                figure="waited p99 less the key's max_wait_ms, ms",
                at_most=20,
            ),
        ),
    ),
}
