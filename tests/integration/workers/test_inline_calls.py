"""Calls of a fused step in the process that has the flow, with a guest that really runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from penstock import Pipeline
from penstock_broker_config.ledger import FlowClaim, FlowState
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.hooks import CallNote, NoHooks
from penstock_plugins.pipelines.item import ItemState
from penstock_scheduler.planning import make_plan
from penstock_workers import Executor
from penstock_workers.bench import Bench
from penstock_workers.lease import Hold
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


def test_W8_hooks_are_told_of_each_call_of_a_fused_step(tmp_path: Path) -> None:
    """Once, with the run and the tool; and each item carries on what its own call gave."""
    told = Told()
    pipeline = Pipeline("p").pipe("good.run").pipe("good.run").pipe("good.run")
    with Executor.local(folder_of(GOOD, tmp_path), cache_dir=tmp_path / "cache") as local:
        index = ToolIndex([local.record])
        plan = make_plan(pipeline, index, lambda _: "q", fuse=True).plan
        executor = local._executor
        bench = cast(Bench, SimpleNamespace(executor=executor, hooks=told, stopping=lambda: False))
        work = FlowWork(
            flow="r/0",
            stage="0",
            claim=FlowClaim(state=FlowState.GRANTED, count=3),
            hold=Hold(">r/0", 1, 0.0),
            compiled=compile_all(plan.to_json()),
            items=[ItemState.fresh({"n": n}) for n in range(3)],
            hooks=told,
        )

        take_through(work, work.program.program.end, InlineCalls(bench))

    assert [item.data for item in work.items if item is not None] == [{"n": n} for n in range(3)]
    assert [(note.job, note.tool, note.failure) for note in told.calls] == [("r", "good.run", None)] * 9
