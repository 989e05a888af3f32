"""Where others may look in: before a submission, after a call, between steps, and whether to end here (W-8).

Nothing implements this yet but `NoHooks`. A producer takes them as `hooks=`, a worker's processes in their
`Bench`. What is called at a worker may be called again for the same call or step, after a worker was lost: a
hook's own effects are at-least-once, like those of tools.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from penstock_plugins.result import ToolFailure

logger = logging.getLogger(__name__)
N = TypeVar("N")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionNote:
    """A submission that is about to be sent."""

    job: str
    #: Full name of the tool, or the pipeline's name.
    tool: str
    tenant: str
    #: Whether it is a pipeline.
    pipeline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNote:
    """A call that has ended."""

    #: The job that it belongs to; of a pipeline's call, that of its step.
    job: str
    tool: str
    #: None: it succeeded.
    failure: ToolFailure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNote:
    """An item of a pipeline that has come to the end of a step, of any kind, and goes on.

    A step that is skipped has no end; the steps inside of another one end before it.
    """

    run: str
    #: Position in the run's input; of a member of a fan-out, in the fan-out.
    index: int
    #: The step that ended, as messages name it.
    step: str
    #: What the item carries now: not to be changed.
    data: Any


class Hooks(Protocol):
    """The four points. One that raises is passed over with a warning; what it does is its own business."""

    def before_submission(self, note: SubmissionNote) -> None:
        """Before a submission is sent (`before-agent-start`): a call, a run, or a map as a whole.

        In the producer. A signature's call or run begins at a worker, which does not tell of it.
        """
        ...

    def after_call(self, note: CallNote) -> None:
        """After each call (`after-tool-call`)."""
        ...

    def between_steps(self, note: StepNote) -> None:
        """After each step of a pipeline that an item goes on from (`prepare-next-turn`)."""
        ...

    def should_end(self, note: StepNote) -> bool:
        """Whether a pipeline ends here for an item, successfully (`should-stop-after-turn`)."""
        ...


class NoHooks:
    """Nobody looks in."""

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks.before_submission`."""

    def after_call(self, note: CallNote) -> None:
        """See `Hooks.after_call`."""

    def between_steps(self, note: StepNote) -> None:
        """See `Hooks.between_steps`."""

    def should_end(self, note: StepNote) -> bool:
        """See `Hooks.should_end`."""
        del note
        return False


#: What to compare with, where asking nobody should cost nothing.
NO_HOOKS = NoHooks()


def careful(hooks: Hooks) -> Hooks:
    """The same hooks, of which none can fail whoever asks them; nobody stays nobody."""
    return hooks if hooks is NO_HOOKS or isinstance(hooks, _CarefulHooks) else _CarefulHooks(hooks)


class _CarefulHooks:
    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def before_submission(self, note: SubmissionNote) -> None:
        _ask("before_submission", self._hooks.before_submission, note)

    def after_call(self, note: CallNote) -> None:
        _ask("after_call", self._hooks.after_call, note)

    def between_steps(self, note: StepNote) -> None:
        _ask("between_steps", self._hooks.between_steps, note)

    def should_end(self, note: StepNote) -> bool:
        said = _ask("should_end", self._hooks.should_end, note)
        if said is not None and not isinstance(said, bool):
            _warn("should_end", f"it said neither True nor False, but a {type(said).__name__}")
        return said is True


def _ask(point: str, hook: Callable[[N], object], note: N) -> object:
    """What a hook says. None: it failed."""
    try:
        return hook(note)
    except Exception as error:  # noqa: BLE001 - whatever it is: it is the hook's own
        _warn(point, f"{type(error).__name__}: {error}")
        return None


def _warn(point: str, why: str) -> None:
    logger.warning("A hook is passed over: %s", why, extra={"action": "hook_failed", "point": point})
