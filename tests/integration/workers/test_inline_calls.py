"""Calls of a fused step in the process that has the flow, with a guest that really runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock import Pipeline
from penstock_broker_config.ledger import FlowClaim, FlowState
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.hooks import NO_HOOKS, CallNote, Hooks, NoHooks
from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.policy import OperatorPolicy
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler.planning import make_plan
from penstock_workers import Executor
from penstock_workers.bench import Bench
from penstock_workers.lease import Hold
from penstock_workers.local import LocalExecutor
from penstock_workers.pipelines.inline_calls import InlineCalls
from penstock_workers.pipelines.plans import compile_all
from penstock_workers.pipelines.through import take_through
from penstock_workers.pipelines.work import FlowWork
from tests.conformance.guests import GOOD
from tests.integration.workers.test_local import folder_of


class Told(NoHooks):
    """Notes the calls that it is told of."""

    def __init__(self) -> None:
        self.calls: list[CallNote] = []

    def after_call(self, note: CallNote) -> None:
        """See `Hooks`."""
        self.calls.append(note)


def taken_through(local: LocalExecutor, pipeline: Pipeline, inputs: Sequence[Any], hooks: Hooks) -> FlowWork:
    """A fused stage after its inputs have gone through, here."""
    plan = make_plan(pipeline, ToolIndex([local.record]), lambda _: "q", fuse=True).plan
    bench = cast(Bench, SimpleNamespace(executor=local._executor, hooks=hooks, stopping=lambda: False))
    work = FlowWork(
        flow="r/0",
        stage="0",
        claim=FlowClaim(state=FlowState.GRANTED, count=len(inputs)),
        hold=Hold(">r/0", 1, 0.0),
        compiled=compile_all(plan.to_json()),
        items=[ItemState.fresh(given) for given in inputs],
        hooks=hooks,
    )
    take_through(work, work.program.program.end, InlineCalls(bench))
    return work


@pytest.mark.parametrize("together", [True, False])
def test_params_of_fused_calls_are_checked_in_whatever_instance(tmp_path: Path, together: bool) -> None:
    """Against the schema and for their size, and the calls beside them are none the worse for it."""
    folder = shipped_plugins() / "text"
    # Less than what would be alone in any case.
    limits = replace(OperatorPolicy().limits, params_bytes=1000)
    policy = OperatorPolicy(batch_entry_point=together, limits=limits)
    with Executor.local(folder, cache_dir=tmp_path, operator_policy=lambda _: policy) as local:
        prepared = local._executor.prepare(local.record.digest, "slug")
        inputs = [{"text": "A b"}, {"text": 7}, {"other": "a"}, {"text": "x" * 1000}, {"text": "C d"}]

        work = taken_through(local, Pipeline("p").pipe("text.slug"), inputs, NO_HOOKS)

        assert prepared.runs_together == together
    failures = [item.failure and item.failure.code for item in work.items if item is not None]
    refused = ErrorCode.VALIDATION_ERROR
    assert failures == [None, refused, refused, refused, None]
    too_large = work.item(3).failure
    assert too_large is not None
    assert "bytes; at most" in too_large.message
    assert [item.data for item in work.items if item is not None][::4] == [{"slug": "a-b"}, {"slug": "c-d"}]


def test_W8_hooks_are_told_of_each_call_of_a_fused_step(tmp_path: Path) -> None:
    """Once, with the run and the tool; and each item carries on what its own call gave."""
    told = Told()
    pipeline = Pipeline("p").pipe("good.run").pipe("good.run").pipe("good.run")
    with Executor.local(folder_of(GOOD, tmp_path), cache_dir=tmp_path / "cache") as local:
        work = taken_through(local, pipeline, [{"n": n} for n in range(3)], told)

    assert [item.data for item in work.items if item is not None] == [{"n": n} for n in range(3)]
    assert [(note.job, note.tool, note.failure) for note in told.calls] == [("r", "good.run", None)] * 9
