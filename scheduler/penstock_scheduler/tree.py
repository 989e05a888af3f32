"""How a run of a pipeline stands: its steps as they were written, and what each of them has done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock_broker_config.ledger import JobRecord, JobState
from penstock_plugins.pipelines.model import Step, StepPart, ToolStep
from penstock_plugins.pipelines.plan import Plan
from penstock_scheduler.progress import Progress

#: Steps that a tree shows: composites of composites are many.
MAX_STEPS = 5000
#: What the ledger counts of a step.
_WHAT = ("in", "out", "failed", "filtered", "skipped", "undone", "not_undone", "us")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """One step, over all items of the run; in a member's body over all members."""

    #: Where it is in what was written, as `steps[1].if_true[0]`; of a composite's behind ` > `.
    path: str
    #: Its name, or else its tool or kind.
    label: str
    #: tool, transform, filter, branch, catch, map or parallel.
    kind: str
    #: The tool's full name. None: it calls none.
    tool: str | None = None
    #: Items that came to it; what became of them.
    entered: int = 0
    left: int = 0
    failed: int = 0
    filtered: int = 0
    skipped: int = 0
    #: Items whose step was undone, and those for which that failed.
    undone: int = 0
    not_undone: int = 0
    #: Milliseconds that it took for all items, and for one.
    total_ms: float = 0.0
    mean_ms: float = 0.0
    #: waiting (nothing came to it), running (the run goes on; of one item: it is in the task that has this
    #: step), done, or failed (of some items).
    state: str = "waiting"
    #: The steps inside it by the key that leads there: `if_true`, `steps`, `parallel.NAME`, `composite`.
    bodies: Mapping[str, tuple[StepStatus, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        shape: dict[str, Any] = {
            name: value
            for name in StepStatus.__slots__
            if name != "bodies" and (value := getattr(self, name)) is not None
        }
        if self.bodies:
            shape["bodies"] = {key: [step.to_dict() for step in steps] for key, steps in self.bodies.items()}
        return shape

    def walk(self) -> Iterator[StepStatus]:
        """This step, and all inside it."""
        yield self
        for steps in self.bodies.values():
            for step in steps:
                yield from step.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTree:
    """A run."""

    job: str
    #: The pipeline's name, or a composite's full name.
    pipeline: str
    state: JobState
    #: Of its items.
    progress: Progress
    steps: tuple[StepStatus, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "job": self.job,
            "pipeline": self.pipeline,
            "state": self.state.value,
            "items": {
                "accepted": self.progress.accepted,
                "total": self.progress.total,
                "done": self.progress.done,
                "failed": self.progress.failed,
                "unrun": self.progress.unrun,
            },
            "steps": [step.to_dict() for step in self.steps],
        }

    def walk(self) -> Iterator[StepStatus]:
        """Every step, before those inside it."""
        for step in self.steps:
            yield from step.walk()


def tree_of(
    plan: Plan, counters: Mapping[str, int], record: JobRecord, *, at: Collection[str] | None = None
) -> RunTree:
    """The tree of a run.

    Args:
        plan: what it runs.
        counters: `PATH|what` → how many, as the ledger has them.
        record: of the job.
        at: paths of the steps where its only item is now. None: nobody knows, or there are many.
    """
    counting = _Counting(plan, counters, ended=record.state.final, at=at)
    return RunTree(
        job=record.id,
        pipeline=plan.label,
        state=record.state,
        progress=Progress.from_record(record),
        steps=counting.sequence(plan.pipeline.steps, "steps"),
    )


class _Counting:
    def __init__(
        self, plan: Plan, counters: Mapping[str, int], *, ended: bool, at: Collection[str] | None
    ) -> None:
        self._plan = plan
        self._counters = counters
        self._ended = ended
        self._at = at
        self._left = MAX_STEPS

    def sequence(self, steps: tuple[Step, ...], path: str) -> tuple[StepStatus, ...]:
        found = []
        for number, step in enumerate(steps):
            self._left -= 1
            if self._left < 0:
                break
            found.append(self._step(step, f"{path}[{number}]"))
        return tuple(found)

    def _step(self, step: StepPart, path: str) -> StepStatus:
        tool = None
        bodies = {key: self.sequence(body, f"{path}.{key}") for key, body in step.bodies().items()}
        if isinstance(step, ToolStep):
            meaning = self._plan.names.get(step.tool, step.tool)
            tool = meaning if isinstance(meaning, str) else self._plan.tools[meaning].name
            if tool in self._plan.composites:
                inner = self._plan.composites[tool]
                bodies = {"composite": self.sequence(inner.steps, f"{path} > steps")}
        count = {what: self._counters.get(f"{path}|{what}", 0) for what in _WHAT}
        entered, total_ms = count["in"], count["us"] / 1000
        return StepStatus(
            path=path,
            label=step.label,
            kind=step.kind,
            tool=tool,
            entered=entered,
            left=count["out"],
            failed=count["failed"],
            filtered=count["filtered"],
            skipped=count["skipped"],
            undone=count["undone"],
            not_undone=count["not_undone"],
            total_ms=round(total_ms, 3),
            mean_ms=round(total_ms / (entered - count["skipped"]), 3) if entered > count["skipped"] else 0.0,
            state=self._state(path, entered, count["failed"], bodies),
            bodies=bodies,
        )

    def _state(
        self, path: str, entered: int, failed: int, bodies: Mapping[str, tuple[StepStatus, ...]]
    ) -> str:
        if failed:
            return "failed"
        if self._at is not None and not self._ended:
            inside = any(step.state == "running" for body in bodies.values() for step in body)
            if inside or path in self._at:
                return "running"
            in_fan = any(path.startswith((f"{fan}.", f"{fan} >")) for fan in self._at)
            return "waiting" if entered == 0 else "running" if in_fan else "done"
        if entered == 0:
            return "waiting"
        return "done" if self._ended else "running"
