"""An item on its way through a program: where it is, what it carries, what it remembers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import EnvelopeError
from penstock_plugins.result import ToolFailure


class ItemStatus(StrEnum):
    """Where an item stands."""

    RUNNING = "r"
    #: It failed for good, and what its steps did is being undone.
    UNDOING = "u"
    DONE = "d"
    FAILED = "f"
    FILTERED = "x"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self is not ItemStatus.RUNNING and self is not ItemStatus.UNDOING


@dataclass(slots=True, kw_only=True)
class UndoCall:
    """A call that undoes a step which has finished."""

    #: Number of the tool in the plan.
    tool: int
    params: Any
    #: The step that it undoes.
    step: str


@dataclass(slots=True, kw_only=True)
class ItemState:
    """One item. Changed by the machine alone."""

    #: The instruction that is next; of an item that failed, the one that failed.
    pc: int = 0
    #: What it carries.
    data: Any = None
    status: ItemStatus = ItemStatus.RUNNING
    #: Of its own frame, then of each composite that it is in: the input, what was carried before, and of a
    #: composite when it was entered, in seconds since 1970. Its own frame has the mark of its input there.
    #: Empty: it could not be kept, and has failed for good.
    frames: list[list[Any]] = field(default_factory=list)
    #: Results of steps that expressions read, by slot.
    slots: dict[int, Any] = field(default_factory=dict)
    #: Failures that a catch has taken, by its instruction.
    errors: dict[int, Any] = field(default_factory=dict)
    #: What would undo the steps that have finished, in that order.
    undo: list[UndoCall] = field(default_factory=list)
    #: Steps that were undone, and those that could not be, each with why.
    undone: list[str] = field(default_factory=list)
    not_undone: list[dict[str, str]] = field(default_factory=list)
    failure: ToolFailure | None = None
    #: Position among the members of its fan-out.
    index: int = 0
    #: Branches and handlers that it came out of in this stage: counted at its end, and not kept.
    came_out_of: tuple[str, ...] = ()

    @classmethod
    def fresh(cls, given: Any, *, reads_input: bool = True, index: int = 0, mark: str | None = None) -> Self:
        """An item at the beginning of its program.

        Args:
            given: its input.
            reads_input: see `Program.reads_input`.
            index: among the members of its fan-out.
            mark: `input_mark`, to know its input by when that is not kept.
        """
        return cls(data=given, frames=[[given if reads_input else None, mark]], index=index)

    def rewound(self) -> Self:
        """A failed item to go on with: at the step that failed, as after the last good one.

        When steps of it were undone, or should have been, they are to be done again: then it begins anew. But
        first it is undone to the end: nobody would know any more of what is left. One that could not be kept
        has failed again.
        """
        if self.status is ItemStatus.UNDOING or not self.frames:
            return self
        if self.undone or self.not_undone:
            return type(self).fresh(self.frames[0][0], index=self.index)
        self.status, self.failure = ItemStatus.RUNNING, None
        return self

    def to_json(self) -> dict[str, Any]:
        """As JSON values; only what is not as at the beginning."""
        shape: dict[str, Any] = {"p": self.pc, "d": self.data, "f": self.frames}
        if self.status is not ItemStatus.RUNNING:
            shape["st"] = self.status.value
        if self.slots:
            shape["s"] = {str(slot): value for slot, value in self.slots.items()}
        if self.errors:
            shape["e"] = {str(at): value for at, value in self.errors.items()}
        if self.undo:
            shape["u"] = [[call.tool, call.params, call.step] for call in self.undo]
        if self.undone:
            shape["un"] = self.undone
        if self.not_undone:
            shape["nu"] = self.not_undone
        if self.failure is not None:
            shape["x"] = self.failure.to_dict()
        if self.index:
            shape["i"] = self.index
        return shape

    @classmethod
    def from_json(cls, shape: Any) -> Self:
        """What `to_json` wrote.

        Raises:
            EnvelopeError: it is none.
        """
        try:
            return cls(
                pc=_natural(shape["p"]),
                data=shape["d"],
                status=ItemStatus(shape["st"]) if "st" in shape else ItemStatus.RUNNING,
                frames=[[given, before, *map(float, entered[:1])] for given, before, *entered in shape["f"]],
                # Most items have none of these.
                slots={int(slot): value for slot, value in shape["s"].items()} if "s" in shape else {},
                errors={int(at): value for at, value in shape["e"].items()} if "e" in shape else {},
                undo=[
                    UndoCall(tool=_natural(tool), params=params, step=str(step))
                    for tool, params, step in shape["u"]
                ]
                if "u" in shape
                else [],
                undone=[str(step) for step in shape["un"]] if "un" in shape else [],
                not_undone=[dict(one) for one in shape["nu"]] if "nu" in shape else [],
                failure=failure_from(shape["x"]) if "x" in shape else None,
                index=_natural(shape.get("i", 0)),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise EnvelopeError(f"An item of a pipeline is damaged: {str(error)[:200]}") from error


def input_mark(given: Any) -> str:
    """What an input is known by, as JSON values: the same whatever the order of their keys."""
    text = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def ms_inside(frame: list[Any], now_s: float) -> float:
    """How long an item has been in a composite, waiting between its stages included."""
    return 1000.0 * max(0.0, now_s - frame[2]) if len(frame) > 2 else 0.0


def failure_from(shape: Any) -> ToolFailure:
    """The failure that `ToolFailure.to_dict` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    details = shape.get("details")
    return ToolFailure(
        code=ErrorCode(shape["code"]),
        message=str(shape["message"]),
        details=dict(details) if details else None,
    )


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a position is no natural number")
    return value
