"""What is kept of a run and was changed or removed: its items end, in words, and the worker lives on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
import redis

from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.result import ToolResult
from tests.support.lab import publish_lab
from tests.support.pipelines.running import Line
from tests.support.pipelines.toys import publish_toys
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

#: Where the second step waits until its worker starts.
LATER = "penstock.pool.later"
PIPELINE = Pipeline.from_dict(
    {"name": "damaged", "steps": [{"tool": "lab.echo"}, {"tool": "toy.add"}, {"transform": "{{data.n}}"}]}
)

Damage: TypeAlias = Callable[[redis.Redis, str], Any]


def of_flow(field: str, value: str) -> Damage:
    """Another value of a field of the flow's record."""
    return lambda client, run: client.hset(f"penstock:f:{run}/0", field, value)


def of_plan(command: str, *values: str) -> Damage:
    """A command on the key of the run's plan."""
    return lambda client, run: cast("Any", client).execute_command(command, f"penstock:j:{run}:plan", *values)


#: What is done to a run whose items stand before the second step, and what they end with.
DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "a trace that is no JSON": (of_flow("t0", "garbage"), "PERMISSION_DENIED", "traces is damaged"),
    "traces that are a list": (of_flow("t0", "[]"), "PERMISSION_DENIED", "it is no table"),
    "a trace of no stage": (of_flow("tu0x", "{}"), "PERMISSION_DENIED", "traces is damaged"),
    "a trace of other entries": (
        of_flow("t0", '{"0":[5]}'),
        "QUARANTINED",
        "The step failed in itself 3 times",
    ),
    "another tenant": (
        lambda client, run: client.hset(f"penstock:j:{run}", "tenant", "others"),
        "PERMISSION_DENIED",
        "not the one that its plan was signed for",
    ),
    "large values that are a text": (
        lambda client, run: client.set(f"penstock:j:{run}:v", "x"),
        "QUARANTINED",
        "The step failed in itself 3 times: ResponseError",
    ),
    "no plan": (of_plan("DEL"), "PERMISSION_DENIED", "The plan of the run is gone"),
    "a plan that is a list": (
        lambda *at: (of_plan("DEL")(*at), of_plan("LPUSH", "x")(*at)),
        "PERMISSION_DENIED",
        "gone",
    ),
}


@pytest.fixture
def line(redis_server: RedisServer, tmp_path: Path) -> Iterator[Line]:
    """A worker that takes no second step, and a scheduler."""
    with ExitStack() as stack:
        line = Line(redis_server, tmp_path, stack)
        publish_lab(line.client)
        publish_toys(line.client)
        line.worker(PENSTOCK_QUEUES='["penstock.default"]')
        line.scheduler()
        yield line


def test_B4_a_damaged_run_ends_in_words_and_no_other_is_harmed(line: Line) -> None:
    """Each is damaged before its second step; the same worker runs one that is as it was."""
    plan = line.planned(PIPELINE).plan.with_context({"tenant": "default"})
    tools = [replace(tool, queue=LATER) if tool.name == "toy.add" else tool for tool in plan.tools]
    pad = "x" * 300_000  # kept beside the others
    runs = {
        name: line.begin(replace(plan, tools=tuple(tools)), [{"n": 1, "pad": pad}, {"n": 2}])
        for name in ["good", *DAMAGES]
    }
    stages = [f"penstock:f:{run}/0" for run in runs.values()]
    wait_until(lambda: all(line.client.hget(key, "at") == b"1" for key in stages), 60, "all have come so far")

    for name, (damage, _, _) in DAMAGES.items():
        damage(line.client, runs[name])
    worker = line.worker(name="w2", PENSTOCK_QUEUES=f'["{LATER}"]', PENSTOCK_LEASE_S="1")

    assert [result.data for result in line.results(runs["good"])] == [2, 3]
    for name, (_, code, message) in DAMAGES.items():
        results = line.results(runs[name])
        assert [_said(result) for result in results] == [code] * 2, name
        assert all(result.error is not None and message in result.error.message for result in results), name
    assert worker.running


def _said(result: ToolResult) -> str:
    return "" if result.error is None else result.error.code
