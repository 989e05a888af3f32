"""Limits and turns of a thousand keys, as a witness saw them: a tool that writes down when each call ran.

The witness is that of `tests/chaos`: a file to which each process appends a line when a call begins, and one
when it ends. In between a call waits in the host, so that more of them run at once than there are cores.
"""

from __future__ import annotations

import os
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import wasmtime

from benchmarks.case import Case, Figures, Goal
from benchmarks.contenders import WAIT_S
from benchmarks.measuring import median
from benchmarks.system import System, penstock, penstock_system, publish
from penstock import Job, Producer, ToolResult
from penstock_broker_config.ledger import Ledger, LimitChange
from penstock_broker_config.store import connect_store
from tests.chaos.entry import NAME_VARIABLE, RINGS_VARIABLE
from tests.chaos.verdict import Verdict, judge_limits
from tests.chaos.witness import Execution, read_executions
from tests.conformance.wat import ECHO, Data, ToolText, component, init_ok, tools

DISPATCHERS, WORKERS = 2, 4
#: Pool processes of each worker: twelve calls may run at once, so that a limit of eight can be exceeded too.
PROCESSES = 3
KEYS, HIGHEST_LIMIT = 1_000, 8
#: Milliseconds for which a call waits in the host.
CALL_MS = 10
#: Calls of one key in a row, and calls that wait or run meanwhile: few keys at a time, and at their limits.
BURST, IN_FLIGHT = 10, 30
#: The key that floods, and calls that wait under it for each one that another key has.
FLOOD, FLOODS = 0, 1_000
#: The key that has one call at a time.
QUIET = KEYS - 1

_MANIFEST = f"""
name = "fair"
version = "1.0.0"
[wasm]
capabilities = ["log"]
[[tool]]
name = "call"
idempotent = true
batch_key = "{{{{input.key}}}}"
batch = {{ max_size = 1 }}
[[tool.limits]]
key = "fair/{{{{input.key}}}}"
concurrency = {HIGHEST_LIMIT}
"""


def fairness(rounds: int) -> Figures:
    """1,000 keys with limits from 1 to 8, two dispatchers, four workers: limits hold, and no key is starved.

    First each key has ten calls in a row, few keys at a time, so that limits are what holds calls up. Then
    every key has so many calls waiting, one a thousand times as many, and the quietest one at a time. Its
    fair share is one call of each key that waits, at the rate at which calls are run.
    """
    with _system() as system:
        with Producer(system.settings.model_copy(update={"max_in_flight": IN_FLIGHT})) as producer:
            _finish(_map(producer, (key for key in range(KEYS) for _ in range(BURST))))
        bursts = read_executions(_witness(system))
        with system.producer() as producer:
            asked = _flood(producer, rounds)
        everything = read_executions(_witness(system))
        verdict = Verdict()
        judge_limits(
            verdict, _witness(system), [], limits={str(key): _limit(key) for key in range(KEYS)}, overlap_s=0
        )
    at_limit = sum(most == _limit(key) for key, most in _most_at_once(bursts).items())
    return {
        "executions": len(everything),
        "keys that ran as many calls at once as their limit allows": at_limit,
        "most beyond a limit at once": verdict.figures["most beyond a limit at once"],
        **_turns(everything[len(bursts) :], asked, rounds),
    }


def _flood(producer: Producer, rounds: int) -> list[float]:
    """Let one key flood while the others have calls waiting; when each call of the quietest was asked for."""
    flood = _map(producer, (FLOOD for _ in range(rounds * FLOODS)))
    flood.submitted()
    others = _map(producer, (key for _ in range(rounds) for key in range(KEYS) if key not in (FLOOD, QUIET)))
    others.submitted()
    asked = []
    while not others.state.final:
        asked.append(time.monotonic())
        producer.submit("fair.call", _params(QUIET)).result(WAIT_S).unwrap()
    flood.cancel()
    _finish(others)
    return asked


def _turns(found: Sequence[Execution], asked: Sequence[float], rounds: int) -> Figures:
    """What each key got until half of them had run all of their calls."""
    begun: dict[int, list[float]] = defaultdict(list)
    for execution in found:
        begun[int(execution.params["key"])].append(execution.begun_s)
    others = [key for key in range(KEYS) if key not in (FLOOD, QUIET)]
    until = median(begun[key][-1] for key in others)
    since = asked[0]
    rate = sum(since <= at < until for at in (one.begun_s for one in found)) / (until - since)
    waits, shares = [], []
    for at, began in zip(asked, begun[QUIET], strict=True):
        if at < until:
            waits.append(began - at)
            waiting = sum(bisect_left(begun[key], at) < rounds for key in others)
            shares.append((waiting + 2) / rate)
    meanwhile = {key: bisect_left(begun[key], until) - bisect_left(begun[key], since) for key in begun}
    return {
        "while one key floods, calls/s": rate,
        "the flooding key's calls: times as many as another's": meanwhile[FLOOD]
        / median(meanwhile[key] for key in others),
        "the quietest key's calls": len(waits),
        "the quietest key waits, ms": median(waits) * 1000,
        "the quietest key waits at the longest, ms": max(waits) * 1000,
        "the quietest key's fair share, ms": median(shares) * 1000,
        "the quietest key's longest wait: times as long as its fair share": max(
            wait / share for wait, share in zip(waits, shares, strict=True)
        ),
    }


def _most_at_once(found: Iterable[Execution]) -> dict[int, int]:
    """How many calls of each key ran at once at most."""
    edges = sorted(
        edge
        for one in found
        for edge in ((one.seen_s[0], 1, one.params["key"]), (one.seen_s[-1], -1, one.params["key"]))
    )
    running: dict[str, int] = defaultdict(int)
    most: dict[int, int] = defaultdict(int)
    for _, step, key in edges:
        running[key] += step
        most[int(key)] = max(most[int(key)], running[key])
    return most


def _limit(key: int) -> int:
    return 1 + key % HIGHEST_LIMIT


def _params(key: int) -> dict[str, object]:
    return {"n": 0, "key": str(key), "ms": CALL_MS}


def _map(producer: Producer, keys: Iterable[int]) -> Job[list[ToolResult]]:
    return producer.map("fair.call", (_params(key) for key in keys))


def _finish(job: Job[list[ToolResult]]) -> None:
    for result in job.results(WAIT_S):
        result.unwrap()


def _witness(system: System) -> Path:
    return system.folder / "witness.log"


@contextmanager
def _system() -> Iterator[System]:
    """Dispatchers and workers with witnesses in them, and the limits set as an operator does."""
    with ExitStack() as stack:
        system = stack.enter_context(penstock_system(processes=0, scheduler=False, plugins=()))
        publish(system.settings, "fair", _plugin(system.folder / "fair"))
        with connect_store(system.settings) as client:
            ledger = Ledger(client, system.settings.keys)
            for key in range(KEYS):
                ledger.change_limit(f"fair/{key}", LimitChange(concurrency=_limit(key)))
        system.environment.update(
            {
                "PENSTOCK_GUEST_LOG_FILE": str(_witness(system)),
                NAME_VARIABLE: "bench",
                RINGS_VARIABLE: os.devnull,
            }
        )
        for k in range(DISPATCHERS):
            stack.enter_context(system.running(f"scheduler-{k}", penstock("scheduler"), ready="Ready"))
        for k in range(WORKERS):
            name = f"worker-{k}"
            command = (sys.executable, "-m", "tests.chaos.entry", "worker", "--name", name)
            processes = ("--processes", str(PROCESSES))
            stack.enter_context(system.running(name, [*command, *processes], ready="Ready, warm"))
        yield system


def _plugin(folder: Path) -> Path:
    """Its one tool writes its params to the log, before and after it has waited, and returns them."""
    data = Data()
    say = "(call $log (i32.const {level}) (local.get $args) (local.get $args-size))"
    wat = component(
        data=data,
        init=init_ok(data, "fair", "1.0.0"),
        listed=tools(data, [ToolText(name="call")]),
        host=["log"],
        call=f"{say.format(level=1)} {say.format(level=2)} {ECHO}",
    )
    folder.mkdir()
    (folder / "plugin.toml").write_text(_MANIFEST)
    (folder / "plugin.wasm").write_bytes(wasmtime.wat2wasm(wat))
    return folder


CASES = {
    "fairness": Case(
        run=fairness,
        full=8,
        quick=2,
        goals=(
            Goal(
                part=3,
                text="two dispatchers, four workers, 1,000 keys: no key's limit is exceeded",
                figure="most beyond a limit at once",
                at_most=0,
            ),
            Goal(
                part=3,
                text="the quietest key waits at most 3 times its fair share while one key floods",
                figure="the quietest key's longest wait: times as long as its fair share",
                at_most=3,
            ),
        ),
    ),
}
