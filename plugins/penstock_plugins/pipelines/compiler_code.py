"""A program that is being written: its instructions, and what is around those that are written next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penstock_plugins.pipelines.program import Instruction, Op, Scope, needs_in


@dataclass(slots=True)
class Frame:
    """A pipeline, a composite or a member body that is being compiled."""

    #: In front of paths: the composites that lead here.
    prefix: str
    composites: tuple[str, ...]
    depth: int
    steps: dict[str, int] = field(default_factory=dict)
    #: Instructions whose `frame_end` is not known yet.
    open: list[Instruction] = field(default_factory=list)

    def close(self, end: int) -> None:
        """The frame ends at that instruction."""
        for instruction in self.open:
            instruction.frame_end = end


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sequence stands."""

    frame: Frame
    scope: Scope | None
    error_of: int
    #: The step of its frame, from 1, that it is inside of. 0: it is the frame's own sequence.
    number: int = 0


class Code:
    """The instructions of one program."""

    def __init__(self, count: Callable[[], None]) -> None:
        """`count` is told of each instruction, of all programs."""
        self.code: list[Instruction] = []
        self.slots = 0
        self._count = count

    def emit(self, op: Op, **fields: Any) -> Instruction:
        """Add an instruction."""
        self._count()
        instruction = Instruction(op=op, at=len(self.code), **fields)
        self.code.append(instruction)
        return instruction

    def slot(self) -> int:
        """A slot for the result of another step."""
        self.slots += 1
        return self.slots - 1


def cover(code: list[Instruction], outer: Scope | None, scope: Scope) -> None:
    """Put a scope around instructions: innermost scopes of theirs that led to `outer` lead to it now."""
    # Scopes are frozen, and shared by instructions: those between are made again, each once.
    made: dict[int, Scope] = {}

    def around(inner: Scope | None) -> Scope:
        if inner is outer or inner is None:
            return scope
        if id(inner) not in made:
            made[id(inner)] = replace(inner, outer=around(inner.outer))
        return made[id(inner)]

    for instruction in code:
        instruction.scope = around(instruction.scope)


def kept_slots(code: list[Instruction]) -> frozenset[int]:
    """The slots that some expression reads."""
    kept: set[int] = set()
    for instruction in code:
        names = instruction.names
        for needs in needs_in(instruction):
            if needs.results is None:
                kept.update(names.results)
            else:
                kept.update(names.results[n] for n in needs.results if n < len(names.results))
            wanted: Mapping[str, int] | list[str]
            wanted = (
                list(names.steps) if needs.steps is None else [n for n in needs.steps if n in names.steps]
            )
            kept.update(names.steps[name] for name in wanted)
        kept.update(instruction.inner_slots)
    return frozenset(kept)


def reads_input(code: list[Instruction]) -> bool:
    """Whether some expression reads the program's own input."""
    return any(needs.roots & {"input", "item"} for one in code if one.depth == 0 for needs in needs_in(one))
