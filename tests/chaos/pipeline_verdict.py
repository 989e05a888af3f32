"""Counts after a chaos run of pipelines: how each item ended, what was undone, what is left in Redis."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from penstock_broker_config.keys import Keys
from tests.chaos.feed import known_jobs
from tests.chaos.pipeline_work import expected, undone_after
from tests.chaos.verdict import Recorded, Verdict, read_recorded
from tests.chaos.witness import FAILED_ATTEMPTS, lines_of

#: Seconds in which what a finished run leaves behind is forgotten.
FORGOTTEN_WITHIN_S = 15.0
#: Steps that call what may be started once only: the compensations are among them.
ONCE = frozenset({"once", "right", "undo once", "undo keyed", "undo right"})
#: Steps that are executed several times for one call.
_TRIED_AGAIN = frozenset({"caught", "failing"})


def judge_items(verdict: Verdict, client: redis.Redis, folder: Path, *, singles: int, mapped: int) -> None:
    """Each item has one result, that of its number; what it had done was undone once, if it failed."""
    recorded: dict[int, Recorded] = {}
    for first, job in [*known_jobs(folder).items(), (singles, (folder / "map").read_text())]:
        found, wrong = read_recorded(client, job)
        verdict.problems += wrong
        recorded |= {first + index: one for index, one in found.items()}
    items = range(singles + mapped)
    lost = [n for n in items if n not in recorded or recorded[n].results == 0]
    doubled = [n for n, one in recorded.items() if one.results > 1 or one.named > 1]
    results = {n: one.result for n, one in recorded.items() if one.result is not None}
    wrong_ones = {n: said for n, result in results.items() if (said := _wrong(n, result)) is not None}
    undo = [entry for result in results.values() for entry in _undo_entries(result)]
    verdict.figures |= {
        "items": len(items),
        "lost": len(lost),
        "with two recorded results": len(doubled),
        "succeeded": sum(result.get("e") is None and not result.get("f") for result in results.values()),
        "filtered": sum(bool(result.get("f")) for result in results.values()),
        "failed": sum(result.get("e") is not None for result in results.values()),
        "ended INTERRUPTED": sum(_code(result) == "INTERRUPTED" for result in results.values()),
        "compensations recorded": len(undo),
        "compensations that were interrupted": sum(not entry["result"]["success"] for entry in undo),
    }
    verdict.expect(not lost, f"{len(lost)} lost: {lost[:10]}")
    verdict.expect(not doubled, f"recorded twice: {doubled[:10]}")
    verdict.expect(not wrong_ones, f"{len(wrong_ones)} ended otherwise: {list(wrong_ones.items())[:5]}")
    _judge_executions(verdict, folder / "witness.log", results)


def judge_remains(verdict: Verdict, client: redis.Redis) -> None:
    """Of runs that have ended there is nothing but what expires."""
    give_up = time.monotonic() + FORGOTTEN_WITHIN_S
    while (left := _remains(client)) and time.monotonic() < give_up:
        time.sleep(0.25)
    verdict.expect(not left, f"left in Redis: {left[:10]} and {max(0, len(left) - 10)} more")


def _judge_executions(verdict: Verdict, log: Path, results: Mapping[int, dict[str, Any]]) -> None:
    """What the witness saw is what is recorded: nothing twice that may not, nothing undone unseen."""
    seen: Counter[tuple[str, int]] = Counter()
    for line in lines_of(log):
        if line["level"] == "info":
            params = json.loads(line["message"])
            seen[params["s"], params["n"]] += 1
    twice = {call: count for call, count in seen.items() if call[0] in ONCE and count > 1}
    undone = {(e["params"]["s"], n) for n, result in results.items() for e in _undo_entries(result)}
    begun = {call for call in seen if call[0].startswith("undo")}
    succeeded = {
        (e["params"]["s"], n)
        for n, result in results.items()
        for e in _undo_entries(result)
        if e["result"]["success"]
    }
    interrupted = {n for n, result in results.items() if _code(result) == "INTERRUPTED"}
    missing = [
        (step, n)
        for n in results
        if n not in interrupted
        for step in expected(n).steps
        if (step, n) not in seen and (not step.startswith("undo") or (step, n) in succeeded)
    ]
    unexpected = [(step, n) for step, n in seen if step not in expected(n).steps and n not in interrupted]
    again = sum(count - (FAILED_ATTEMPTS if step in _TRIED_AGAIN else 1) for (step, _), count in seen.items())
    verdict.figures |= {
        "executions": seen.total(),
        "executions beyond one each (idempotent tools)": again,
        "once-only calls": sum(step in ONCE for step, _ in seen),
        "once-only calls, run twice": len(twice),
        "compensations begun": len(begun),
    }
    verdict.expect(not twice, f"ran twice, and may not: {list(twice.items())[:10]}")
    verdict.expect(begun <= undone, f"undone, and not recorded: {sorted(begun - undone)[:10]}")
    verdict.expect(
        succeeded <= begun, f"recorded as undone, and never begun: {sorted(succeeded - begun)[:10]}"
    )
    verdict.expect(not missing, f"{len(missing)} steps never ran: {missing[:10]}")
    verdict.expect(not unexpected, f"{len(unexpected)} steps ran for nothing: {unexpected[:10]}")


def _wrong(n: int, result: dict[str, Any]) -> str | None:
    """What is wrong with how an item ended. None: nothing."""
    wanted, code = expected(n), _code(result)
    undone = tuple(entry["params"]["s"] for entry in _undo_entries(result))
    failures = {(entry["result"].get("error") or {}).get("code") for entry in _undo_entries(result)}
    if not failures <= {None, "INTERRUPTED"}:
        return f"an undo failed with {failures}"
    details = (result.get("e") or {}).get("details") or {}
    if len(details.get("undone", ())) + len(details.get("not_undone", ())) != len(undone):
        return f"{details} for what was undone: {undone}"
    if code == "INTERRUPTED":
        allowed = {undone_after(n, "once"), undone_after(n, "right")}
        return None if undone in allowed else f"interrupted, and undone: {undone}"
    if (code, undone) != (wanted.code, wanted.undone):
        return f"{code}, undone: {undone}: {result.get('e')}"
    if bool(result.get("f")) != wanted.filtered:
        return "filtered" if result.get("f") else "not filtered"
    if code is None and not wanted.filtered and result.get("d") != wanted.data:
        return f"{result.get('d')}"
    return None


def _undo_entries(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in result.get("t") or () if entry["type"] == "compensate"]


def _code(result: dict[str, Any]) -> str | None:
    return (result.get("e") or {}).get("code")


def _remains(client: redis.Redis) -> list[str]:
    """Keys that belong to runs, flows, batches or calls and do not expire; and what still counts as open."""
    keys = Keys()
    left: list[str] = []
    for raw in client.scan_iter(f"{keys.prefix}*", count=1000):
        key = raw.decode().removeprefix(keys.prefix)
        kind, _, rest = key.partition(":")
        inner = kind == "j" and ("/" in rest.split(":", 1)[0])
        if kind in {"f", "b", "q", "qs"} or inner or (kind == "j" and client.ttl(raw) == -1):
            left.append(key)
    for due in (keys.open, keys.ready):
        names: Any = client.zrange(due, 0, -1)
        left += [f"{due}: {name.decode()}" for name in names]
    pending: Any = client.hgetall(keys.pending)
    return left + [f"pending: {name.decode()} {int(n)}" for name, n in pending.items() if int(n)]
