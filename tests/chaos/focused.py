"""Chaos runs that look at one promise each: how full batches are, and that slots of a limit come back."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import BatchHeader, Buffer, BufferedCall, CallEntry, DeclaredLimit, Ledger
from penstock_broker_config.redis_catalog import RedisCatalog
from tests.chaos.cast import Cast, cast
from tests.chaos.storm import Fault, Storm
from tests.chaos.verdict import Verdict, judge_limits, read_recorded
from tests.chaos.witness import executions, read_executions
from tests.support.waiting import wait_until

#: The one job of these runs.
JOB = "focused"
#: The job of which all slots are taken when everybody is killed, and its calls.
LAST_JOB, LAST = "last", 100
#: Calls that are accepted in one go.
CHUNK = 500
#: Calls of a full batch, and keys that they wait under.
FULL, KEYS = 25, 8
#: Batches more than the fewest possible ones.
BATCHES_MORE = 1.05
#: Slots of the limit, the lease of one, and how much later it may come back.
SLOTS, LEASE_S, LATE_S = 3, 2.0, 0.5
#: Seconds of the storm for each call: fewer than all slots together need.
SECONDS_PER_CALL = 0.02
#: Seconds until everything has ended in peace.
PATIENCE_S = 240.0


def batches(
    folder: Path, *, seed: int, calls: int = 20_000, kills: int = 50, say: Callable[[str], None] = print
) -> Verdict:
    """Calls leave in full batches, however often the dispatchers are killed."""
    verdict = Verdict()
    with cast(folder, schedulers=2, networks=False) as on_stage, on_stage.broker.redis.client() as client:
        ledger = Ledger(client, Keys())
        say(f"seed {seed}: {calls} calls under {KEYS} keys, {kills} kills of dispatchers")
        buffers = [Buffer(key=f"k{k}", max_size=FULL, max_wait_ms=3_600_000) for k in range(KEYS)]
        _enqueue(on_stage, ledger, "run", calls, buffers)
        dice = random.Random(seed)
        seconds = max(5.0, kills * 0.9)
        storm = Storm(on_stage)
        storm.rage(
            [
                Fault(at_s=at_s, what="kill", victim=dice.choice(on_stage.schedulers))
                for at_s in sorted(dice.uniform(0, seconds) for _ in range(kills))
            ]
        )
        for buffer in buffers:
            ledger.flush(tenant="default", tool="witness.run", key=buffer.key)
        wait_until(lambda: ledger.job(JOB).state.final, PATIENCE_S, lambda: f"{ledger.job(JOB)} ends")
        found, wrong = read_recorded(client, JOB)

    # Some were never rung for: a worker went on with them by itself. Redis's own file has every write.
    files = (folder / "redis" / "appendonlydir").iterdir()
    formed = {batch for file in files for batch in re.findall(rb"b:(\+\d+-\d+)", file.read_bytes())}
    fewest = sum(-(-len(range(k, calls, KEYS)) // FULL) for k in range(KEYS))
    verdict.figures |= {
        "seed": seed,
        "faults": dict(storm.done),
        "calls": calls,
        "batches": len(formed),
        "fewest possible": fewest,
        "lost": calls - sum(one.results == 1 for one in found.values()),
    }
    verdict.problems += wrong
    verdict.expect(len(formed) <= BATCHES_MORE * fewest, f"{len(formed)} batches, {fewest} are possible")
    verdict.expect(len(found) == calls, f"{calls - len(found)} calls are lost")
    return verdict


def leases(
    folder: Path, *, seed: int, calls: int = 1000, kills: int = 35, say: Callable[[str], None] = print
) -> Verdict:
    """A limit holds while its holders are killed, and every slot of a dead one comes back with its lease."""
    verdict = Verdict()
    short = {"PENSTOCK_LEASE_S": str(LEASE_S), "PENSTOCK_RESERVE_S": str(LEASE_S)}
    with (
        cast(folder, processes=3, networks=False, settings=short) as on_stage,
        on_stage.broker.redis.client() as client,
    ):
        ledger = Ledger(client, Keys())
        say(f"seed {seed}: {calls} calls, {SLOTS} slots, {kills} kills of who holds them")
        limit = DeclaredLimit(key="slots", concurrency=SLOTS)
        _enqueue(on_stage, ledger, "limited", calls, [Buffer(max_size=1, limits=(limit,))])
        dice = random.Random(seed)
        seconds = calls * SECONDS_PER_CALL
        storm = Storm(on_stage)
        storm.rage(
            [
                Fault(
                    at_s=at_s,
                    what=dice.choice(["kill", "kill pool process", "kill pool process"]),
                    victim=dice.choice(on_stage.workers),
                    number=dice.randrange(100),
                )
                for at_s in sorted(dice.uniform(0, seconds) for _ in range(kills))
            ]
        )
        wait_until(lambda: ledger.job(JOB).state.final, PATIENCE_S, lambda: f"{ledger.job(JOB)} ends")
        found, wrong = read_recorded(client, JOB)
        _enqueue(on_stage, ledger, "limited", LAST, [Buffer(max_size=1, limits=(limit,))], job=LAST_JOB)
        back_s = _slots_come_back(on_stage)
        wait_until(lambda: ledger.job(LAST_JOB).state.final, PATIENCE_S, "the last job ends")
    seen = executions(on_stage.witness_file)
    verdict.figures |= {
        "seed": seed,
        "faults": dict(storm.done),
        "acquisitions": seen.total(),
        "processes that held a slot": len({run.pid for run in read_executions(on_stage.witness_file)}),
        "all slots back after, s": round(back_s, 3),
        "lost": calls - sum(one.results == 1 for one in found.values()),
    }
    verdict.problems += wrong
    judge_limits(verdict, on_stage.witness_file, [], limits=SLOTS)
    in_time = back_s <= LEASE_S + LATE_S
    verdict.expect(in_time, f"the slots came back {back_s:.2f} s after their holders were killed")
    verdict.expect(len(found) == calls, f"{calls - len(found)} calls are lost")
    return verdict


def _slots_come_back(on_stage: Cast) -> float:
    """Kill everybody at once, and see when no slot is taken any more; then start all again."""

    def taken() -> int:
        with on_stage.broker.redis.client() as client:
            seconds, micros = client.time()
            return int(client.zcount(Keys().limit_slots("slots"), seconds * 1000 + micros // 1000, "+inf"))

    wait_until(lambda: taken() == SLOTS, PATIENCE_S, "all slots are taken")
    hurt = [*on_stage.schedulers, *on_stage.workers]
    for name in hurt:
        on_stage.processes[name].kill()
    killed = time.monotonic()
    wait_until(lambda: taken() == 0, PATIENCE_S, "every slot is back")
    back_s = time.monotonic() - killed
    for name in hurt:
        on_stage.revive(name)
    return back_s


def _enqueue(
    on_stage: Cast, ledger: Ledger, tool: str, calls: int, buffers: Sequence[Buffer], *, job: str = JOB
) -> None:
    """Accept a job of calls that wait in these buffers, in turns."""
    with on_stage.broker.redis.client() as client:
        (record,) = RedisCatalog(client, Keys()).records()
    header = BatchHeader(
        job=job,
        tool=f"witness.{tool}",
        digest=record.digest,
        tenant="default",
        queue="penstock.default",
        once=False,
        expires_ms=10**15,
    )
    for base in range(0, calls, CHUNK):
        chunk = [
            BufferedCall(CallEntry(n, f'{{"n":{n},"key":"slots"}}'), n % len(buffers))
            for n in range(base, min(calls, base + CHUNK))
        ]
        ledger.enqueue(header, chunk, buffers, base=base)
    ledger.seal(job)
