"""Counts after a chaos run: what was lost, doubled or ran too often, by the witness and what is recorded."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger
from tests.chaos.feed import kind_of, known_jobs
from tests.chaos.witness import FAILED_ATTEMPTS, LIMIT, Execution, executions, read_executions

#: Seconds by which a worker that stood still may overlap with who got its slot.
OVERLAP_S = 0.02
#: Seconds within which a worker that was healed consumes again.
CONSUMES_WITHIN_S = 15.0


@dataclass
class Verdict:
    """What a run has shown. `problems` is empty when every promise was kept."""

    #: Figures by name, as they are reported.
    figures: dict[str, Any] = field(default_factory=dict)
    #: What was promised and did not hold, in words.
    problems: list[str] = field(default_factory=list)

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem unless it holds."""
        if not holds:
            self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger has of one call."""

    #: Result records of it, over successes and failures; the last one.
    results: int
    result: dict[str, Any] | None
    #: How often the completion stream names it.
    named: int


def read_recorded(client: redis.Redis, job_id: str) -> tuple[dict[int, Recorded], list[str]]:
    """What is recorded of each call of a job by its index, and what of its record does not add up."""
    keys, ledger = Keys(), Ledger(client, Keys())
    ok: Any = client.hgetall(keys.successes(job_id))
    err: Any = client.hgetall(keys.failures(job_id))
    named: Counter[int] = Counter()
    position, entries = ledger.completions(job_id, count=1000)
    while entries:
        named.update(index for entry in entries for index in entry.indexes)
        position, entries = ledger.completions(job_id, cursor=position, count=1000)
    record = ledger.job(job_id)
    wrong = []
    if (record.done, record.failed, record.expired) != (len(ok), len(err), 0):
        counted = f"{record.done}+{record.failed}+{record.expired}"
        wrong.append(f"job {job_id} counts {counted}, and has {len(ok)}+{len(err)} results")
    if not record.state.final or record.total != len(named):
        wrong.append(f"job {job_id} is {record.state}: {len(named)} of {record.total} are in its stream")
    found = {}
    for index in {*map(int, ok), *map(int, err), *named}:
        raw = [results[b"%d" % index] for results in (ok, err) if b"%d" % index in results]
        result = json.loads(raw[-1]) if raw else None
        found[index] = Recorded(len(raw), result, named[index])
    return found, wrong


def judge_results(verdict: Verdict, client: redis.Redis, folder: Path, *, singles: int, mapped: int) -> None:
    """Everything that was fed has one result, the right one."""
    jobs = known_jobs(folder)
    map_job = (folder / "map").read_text()
    recorded: dict[int, Recorded] = {}
    for n, job in jobs.items():
        found, wrong = read_recorded(client, job)
        verdict.problems += wrong
        recorded[n] = found.get(0, Recorded(0, None, 0))
    found, wrong = read_recorded(client, map_job)
    verdict.problems += wrong
    recorded |= {singles + index: one for index, one in found.items()}

    lost = [n for n in range(singles + mapped) if n not in recorded or recorded[n].results == 0]
    doubled = [n for n, one in recorded.items() if one.results > 1 or one.named > 1]
    interrupted = [n for n, one in recorded.items() if n < singles and _code(one) == "INTERRUPTED"]
    wrong_ones = [
        n for n, one in recorded.items() if one.result is not None and not _is_right(n, one, singles)
    ]
    verdict.figures |= {
        "calls": singles + mapped,
        "lost": len(lost),
        "with two recorded results": len(doubled),
        "once-only, ended INTERRUPTED": len(interrupted),
    }
    verdict.expect(not lost, f"lost: {lost[:10]}")
    verdict.expect(not doubled, f"recorded twice: {doubled[:10]}")
    shown = [(n, kind_of(n) if n < singles else "map", recorded[n].result) for n in wrong_ones[:5]]
    verdict.expect(not wrong_ones, f"{len(wrong_ones)} with another result than expected: {shown}")
    extra = client.zcard(Keys().jobs) - len(set(jobs.values())) - 1
    verdict.expect(extra == 0, f"{extra} more jobs than were asked for")
    pending: Any = client.hgetall(Keys().pending)
    left = {name.decode(): int(count) for name, count in pending.items()}
    verdict.expect(not any(left.values()), f"everything has ended, and this still counts as pending: {left}")


def judge_executions(verdict: Verdict, witness: Path, *, singles: int) -> None:
    """Calls that may run once only did not run twice."""
    seen = executions(witness)
    once = {n: count for n, count in seen.items() if n < singles and kind_of(n) == "once"}
    twice = {n: count for n, count in once.items() if count > 1}
    again = sum(
        count - (FAILED_ATTEMPTS if n < singles and kind_of(n) == "failed" else 1)
        for n, count in seen.items()
    )
    verdict.figures |= {
        "executions": seen.total(),
        "executions beyond one each (idempotent tools)": again,
        "once-only calls, run twice": len(twice),
    }
    verdict.expect(not twice, f"ran twice, and may not: {twice}")


def judge_doorbells(verdict: Verdict, rings: Path, *, most: float | None) -> None:
    """Doorbells for each batch that was rung for."""
    rung = Counter(line.split()[0] for line in rings.read_text().splitlines())
    average = rung.total() / max(1, len(rung))
    verdict.figures |= {"batches rung for": len(rung), "doorbells per batch": round(average, 3)}
    verdict.expect(most is None or average <= most, f"{average:.2f} doorbells per batch, and {most} at most")


def judge_limits(
    verdict: Verdict,
    witness: Path,
    pauses: Iterable[tuple[str, float, float]],
    *,
    limits: Mapping[str, int] | int = LIMIT,
    is_limited: Callable[[int], bool] | None = None,
    of_step: str | None = None,
    overlap_s: float = OVERLAP_S,
) -> None:
    """At no moment more batches of a key ran than its limit allows, but for a moment after standing still.

    Of a pipeline's items, only the calls of one step count.
    """
    by_key: dict[str, list[Execution]] = defaultdict(list)
    for execution in read_executions(witness):
        if execution.params.get("s") == of_step and (is_limited is None or is_limited(execution.n)):
            by_key[execution.params["key"]].append(execution)
    stood = list(pauses)
    longest, highest = 0.0, 0
    for key, found in by_key.items():
        limit = limits if isinstance(limits, int) else limits[key]
        beyond_s, at_once = _beyond(found, stood, limit)
        longest, highest = max(longest, beyond_s), max(highest, at_once - limit)
    verdict.figures |= {
        "executions under a limit": sum(len(found) for found in by_key.values()),
        "most beyond a limit at once": max(0, highest),
        "longest beyond a limit, ms": round(longest * 1000, 1),
    }
    verdict.expect(longest <= overlap_s, f"a limit was exceeded for {longest * 1000:.0f} ms")


def judge_recovery(
    verdict: Verdict, witness: Path, struck: Sequence[tuple[str, float, float, str]], *, until: float
) -> None:
    """Each worker consumes soon after it was well again, while there was something to do.

    Args:
        verdict: gets the figures.
        witness: the file.
        struck: who was hurt, from when to when, by what.
        until: from when on there may have been nothing to do, as there is after the last execution.
    """
    begun: dict[str, list[float]] = defaultdict(list)
    for execution in read_executions(witness):
        begun[execution.who].append(execution.begun_s)
    until = min(until, max((times[-1] for times in begun.values()), default=until))
    # Whoever hurts Redis hurts everybody.
    waits = []
    for who, hurt, well, what in struck:
        if not who.startswith("w"):
            continue
        others = [(start, end) for name, start, end, _ in struck if name in (who, "redis") and start != hurt]
        peace = min([start for start, end in others if end > well] + [until])
        first = min((start for start in begun[who] if start >= well), default=math.inf)
        # Without peace for so long, nothing is known of it, unless it consumed all the same.
        if first <= peace or peace - well >= CONSUMES_WITHIN_S:
            waits.append((first - well, who, what))
    slowest = max(waits, default=(0.0, "", ""))
    verdict.figures |= {"recoveries watched": len(waits), "slowest recovery, s": round(slowest[0], 2)}
    verdict.expect(slowest[0] <= CONSUMES_WITHIN_S, f"did not consume again in time: {slowest}")


def _code(one: Recorded) -> str | None:
    error = one.result.get("e") if one.result else None
    return error.get("code") if error else None


def _is_right(n: int, one: Recorded, singles: int) -> bool:
    kind = kind_of(n) if n < singles else "map"
    code = _code(one)
    if code is not None:
        return (kind, code) in {("once", "INTERRUPTED"), ("failed", "RATE_LIMIT")}
    return kind != "failed" and one.result is not None and (one.result.get("d") or {}).get("n") == n


def _beyond(
    found: Sequence[Execution], pauses: Sequence[tuple[str, float, float]], limit: int
) -> tuple[float, int]:
    """For how long more than `limit` ran at once, at the longest; and how many ran at once at most."""
    edges = []
    for execution in found:
        for start, end in _running(execution, pauses):
            edges += [(start, 1), (end, -1)]
    edges.sort()
    running, highest, since, longest = 0, 0, 0.0, 0.0
    for at, step in edges:
        if running > limit and running + step <= limit:
            longest = max(longest, at - since)
        if running <= limit < running + step:
            since = at
        running += step
        highest = max(highest, running)
    return longest, highest


def _running(
    execution: Execution, pauses: Sequence[tuple[str, float, float]]
) -> Iterable[tuple[float, float]]:
    """The stretches in which it ran, by its first and last line, without those in which it stood still."""
    start, end = execution.seen_s[0], execution.seen_s[-1]
    for who, stopped, continued in sorted(pauses, key=lambda pause: pause[1]):
        if who == execution.who and start < stopped < end:
            yield start, stopped
            start = min(continued, end)
    yield start, end
