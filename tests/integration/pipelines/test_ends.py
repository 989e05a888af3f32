"""How runs end early: cancelled, past their deadline, or with a worker that stops; the worker lives on."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_broker_config.ledger import JobState
from penstock_plugins.pipelines.model import Pipeline
from tests.support.pipelines.running import Line
from tests.support.waiting import wait_until

ECHO: dict[str, Any] = {"tool": "lab.echo"}
FOREVER: dict[str, Any] = {"tool": "lab.forever"}


def pipeline(*steps: dict[str, Any]) -> Pipeline:
    """A pipeline of these steps."""
    return Pipeline.from_dict({"name": "ends", "steps": list(steps)})


#: A stage that never ends, of each kind.
STAGES = {
    "inline": pipeline(ECHO, FOREVER),
    "call": pipeline(ECHO, FOREVER | {"retry": {"max_attempts": 2}}),
    "member": pipeline({"transform": [1, 2]}, {"map": "data", "steps": [FOREVER | {"params": {"n": 1}}]}),
}


@pytest.mark.parametrize("kind", STAGES)
def test_J2_a_cancel_stops_a_stage_that_runs_and_the_worker_lives_on(line: Line, kind: str) -> None:
    """The next run finds every process free."""
    run = line.begin(STAGES[kind], [{"n": 1}])
    wait_until(lambda: line.client.hlen(line.ledger.keys.holders(run)), 30, "a stage runs")

    cancelled = line.ledger.cancel(run)

    results = line.run(pipeline(ECHO), [{"n": n} for n in range(4)], chunk=1)
    assert cancelled
    assert line.job(run).state is JobState.CANCELLED
    assert [one.data for one in results] == [{"n": n} for n in range(4)]
    assert not list(line.client.scan_iter(f"{line.ledger.keys.flow(run)}/*")), "a flow was left behind"


@pytest.mark.parametrize("kind", STAGES)
def test_I1_a_deadline_ends_a_stage_that_runs(line: Line, kind: str) -> None:
    """The run expires, or its call is out of time: nothing goes on after it."""
    run = line.begin(STAGES[kind], [{"n": 1}], deadline_s=1.0)

    record = line.finished(run)

    assert record.state in {JobState.EXPIRED, JobState.FAILED}
    assert record.done == 0
    assert line.run(pipeline(ECHO), [{"n": 1}])[0].data == {"n": 1}


def test_a_timeout_of_a_step_is_its_own_and_a_catch_takes_it(line: Line) -> None:
    """Inline as well as in an inner job."""
    slow = FOREVER | {"timeout_s": 0.2}
    caught = {"catch": [{"transform": {"code": "{{error.code}}"}}]}

    inline = line.run(pipeline(slow, caught), [{"n": 1}])
    inner = line.run(pipeline(slow | {"retry": {"max_attempts": 1}}, caught), [{"n": 1}])

    assert [one.data for one in inline + inner] == [{"code": "TIMEOUT"}] * 2
