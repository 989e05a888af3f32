"""Every crash point that a run of a pipeline meets: a process ends there, and each item ends once (B-4)."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_broker_config.crash import PIPELINE_POINTS
from penstock_broker_config.keys import Keys
from penstock_plugins.pipelines.model import Pipeline
from tests.chaos.witness import lines_of, publish_witness
from tests.support.lab import publish_lab
from tests.support.pipelines.running import Line
from tests.support.redis_server import RedisServer

ITEMS = 12
#: Elements that each item fans out to.
MEMBERS = 3
#: Runs of each point.
RUNS = int(os.environ.get("CHAOS_RUNS", "2"))
#: Items that a stage's inner job works on for several times a short lease, of some 25 ms each.
LONG, TURNS = 60, 24_000_000
#: Points that only a stage meets which takes long.
RENEWALS = ("worker.before_renew_flow", "worker.after_renew_flow")
#: Inline calls, calls that may be started once only, a branch, calls that wait in a buffer, a fan-out; and at
#: the end items that fail, so that what may be started once only is undone.
PIPELINE = Pipeline.from_dict(
    {
        "name": "everything",
        "steps": [
            {"tool": "witness.run", "params": {"n": "{{input.n}}", "s": "inline"}},
            {
                "tool": "witness.once",
                "params": {"n": "{{data.n}}", "s": "once"},
                "compensate": {"tool": "witness.once", "params": {"n": "{{result.data.n}}", "s": "undo"}},
            },
            {
                "branch": "data.n % 2 == 0",
                "if_true": [
                    {"tool": "witness.keyed", "params": {"n": "{{data.n}}", "key": "k", "s": "keyed"}}
                ],
                "if_false": [{"transform": {"n": "{{data.n}}"}}],
            },
            {"transform": [{"n": "{{data.n}}", "m": m} for m in range(MEMBERS)]},
            {
                "map": "data",
                "steps": [
                    {"tool": "witness.run", "params": {"n": "{{item.n}}", "m": "{{item.m}}", "s": "member"}}
                ],
            },
            {"transform": {"n": "{{input.n}}", "members": "{{length(data)}}"}},
            {"tool": "lab.shaky", "params": {"n": "{{data.n}}"}, "when": "data.n % 5 == 0"},
        ],
    }
)


@pytest.fixture
def line(durable_redis: RedisServer, tmp_path: Path) -> Iterator[Line]:
    """A Redis of the test's own; no processes yet."""
    with ExitStack() as stack:
        yield Line(durable_redis, tmp_path, stack)


def executions(log: Path) -> Counter[tuple[str, int, int]]:
    """How often each call was begun: its step, item and member."""
    seen: Counter[tuple[str, int, int]] = Counter()
    for one in lines_of(log):
        if one["level"] == "info":
            params = json.loads(one["message"])
            seen[params["s"], params["n"], params.get("m", 0)] += 1
    return seen


def check(line: Line, run: str) -> Counter[tuple[str, int, int]]:
    """Each item ended once, as it should; what may be started once only was. Returns all executions."""
    results = line.results(run, wait_s=90)
    failing = [n for n in range(ITEMS) if n % 5 == 0]
    for n, result in enumerate(results):
        if n in failing:
            assert result.error is not None
            assert result.error.code == "NOT_FOUND", result.error
            assert (result.error.details or {})["undone"] == ["steps[1]"]
        else:
            assert result.error is None, result.error
            assert result.data == {"n": n, "members": MEMBERS}
    seen = executions(line.log)
    wanted = {("inline", n, 0) for n in range(ITEMS)} | {("once", n, 0) for n in range(ITEMS)}
    wanted |= {("keyed", n, 0) for n in range(0, ITEMS, 2)} | {("undo", n, 0) for n in failing}
    wanted |= {("member", n, m) for n in range(ITEMS) for m in range(MEMBERS)}
    assert set(seen) == wanted
    assert {count for (step, _, _), count in seen.items() if step in {"once", "undo"}} == {1}
    assert line.client.zcard(Keys().open) == 0
    assert not list(line.client.scan_iter(f"{Keys().prefix}f:*")), "a flow was left behind"
    return seen


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize(
    "point", [point for point in PIPELINE_POINTS if point.startswith("worker.") and point not in RENEWALS]
)
def test_B4_a_pool_process_may_end_anywhere_in_a_pipeline(line: Line, point: str, run: int) -> None:
    """The stage is entered again, what it had done is found; compensations run once."""
    publish_witness(line.client, Keys())
    publish_lab(line.client)
    line.worker(point, processes=1)
    line.scheduler()

    started = line.begin(PIPELINE, [{"n": n} for n in range(ITEMS)], chunk=ITEMS // 2)

    check(line, started)
    assert line.marker.exists(), "the crash point was not reached"


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", RENEWALS)
def test_B4_a_pool_process_may_end_where_it_renews_the_lease_of_a_flow(
    line: Line, point: str, run: int
) -> None:
    """While a batch runs for the flow, whose calls may be started once only: of those one may be cut off."""
    publish_witness(line.client, Keys(), turns=TURNS)
    line.worker(point, processes=1, PENSTOCK_LEASE_S="0.5")
    line.scheduler()
    step = {"tool": "witness.once", "params": {"n": "{{input.n}}", "s": "once"}}

    started = line.begin(
        Pipeline.from_dict({"name": "long", "steps": [step]}), [{"n": n} for n in range(LONG)], chunk=LONG
    )

    results = enumerate(line.results(started, wait_s=90))
    failed = {n: result.error.code for n, result in results if result.error is not None}
    seen = executions(line.log)
    assert line.marker.exists(), "the crash point was not reached"
    assert list(failed.values()) in ([], ["INTERRUPTED"])
    # What a call says is written when it ends.
    assert set(seen) >= {("once", n, 0) for n in range(LONG) if n not in failed}
    assert set(seen.values()) == {1}
    assert line.client.zcard(Keys().open) == 0
