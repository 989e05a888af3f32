"""Programs: what a sequence of steps is compiled to. A list of instructions that only ever jump forward.

One program is the run's own (number 0); the body of a `map` and each branch of a `parallel` have one each.
Composite tools are written out where they are called, as a *frame* with an input of its own. Since jumps go
forward only, all items of a flow can be taken through a program in the order of its instructions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from penstock_plugins.pipelines.expressions import CompiledCondition, CompiledList, CompiledTemplate, Needs
from penstock_plugins.schema import ParamsSchema


class Op(StrEnum):
    """What an instruction does."""

    #: Calls a tool.
    CALL = "call"
    TRANSFORM = "transform"
    FILTER = "filter"
    #: Goes on behind itself, or at `to` when its condition is false.
    BRANCH = "branch"
    #: Goes on at `to`.
    JUMP = "jump"
    #: A branch's arms, or a handler, have ended: their data is this step's result.
    DONE = "done"
    #: Reached without a failure, goes on at `to`; with one, its handler follows.
    CATCH = "catch"
    #: Makes members of the data; they run as flows of their own.
    FAN = "fan"
    #: Gathers what they gave.
    GATHER = "gather"
    #: A composite's frame begins, and ends.
    ENTER = "enter"
    LEAVE = "leave"
    #: The program has ended.
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Where `results` and `steps` are found from a step: slots of the item."""

    #: Of the steps before it in its sequence, by their positions.
    results: tuple[int, ...] = ()
    #: Of the steps before it in its frame that have names.
    steps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What takes a failure: a catch, or the end of a composite."""

    #: The instruction that takes it: CATCH or LEAVE.
    at: int
    #: Composites around it.
    depth: int
    #: The next one outwards. None: the item fails.
    outer: Scope | None


@dataclass(slots=True, kw_only=True)
class Instruction:
    """One instruction, with what it needs compiled. Treat as frozen once compiled."""

    op: Op
    at: int
    #: Where the step is in what was written, as `steps[1].if_true[0]`; composites in front, by ` > `.
    path: str = ""
    #: The step as messages name it: `2 (text.stats)`.
    label: str = ""
    #: Which step of its frame it is in, from 1.
    number: int = 0
    #: Its own name, what kind of step it belongs to, and its tool: for traces.
    name: str = ""
    kind: str = ""
    tool_name: str = ""
    #: Number of the tool in the plan.
    tool: int = -1
    #: Where the step's result is kept. -1: nobody reads it.
    slot: int = -1
    names: Names = field(default_factory=Names)
    scope: Scope | None = None
    #: Composites around it.
    depth: int = 0
    #: The end of the frame: where `stop_when` goes.
    frame_end: int = -1
    #: CATCH instruction whose `error` its expressions see. -1: none.
    error_of: int = -1
    #: Where BRANCH, JUMP, CATCH and skipped steps go on.
    to: int = -1

    when: CompiledCondition | None = None
    stop_when: CompiledCondition | None = None
    condition: CompiledCondition | None = None
    #: Params of CALL and ENTER; None: the data itself. The value of TRANSFORM.
    value: CompiledTemplate | None = None
    output: CompiledTemplate | None = None
    #: ENTER: of the composite's params.
    schema: ParamsSchema | None = None
    continue_on_error: bool = False
    has_default: bool = False
    default: CompiledTemplate | None = None
    timeout_s: float | None = None
    retry: dict[str, Any] | None = None
    undo_tool: int = -1
    undo_params: CompiledTemplate | None = None
    #: FAN and GATHER: the list of a `map`, and the programs of the members (one for a map).
    elements: CompiledList | None = None
    programs: tuple[int, ...] = ()
    branches: tuple[str, ...] = ()
    #: LEAVE, GATHER, DONE: where their step begins. BRANCH: its DONE.
    enter: int = -1
    #: LEAVE: slots of the composite's own steps, for its failure's details.
    inner_slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Instructions of one frame, and what its expressions need kept."""

    number: int
    code: tuple[Instruction, ...]
    #: Slots that some expression reads; the others are not kept.
    kept: frozenset[int]
    #: Whether some expression reads the program's own input, or items may begin anew; else it is not kept.
    reads_input: bool = True
    #: It is that of a composite tool: its failure is one of a composite.
    is_composite: bool = False
    #: Slots of its own sequence, for a composite's failure.
    own_slots: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """The last instruction."""
        return len(self.code) - 1

    def last_of(self, instruction: Instruction) -> Instruction:
        """The last instruction of the step that begins with this one."""
        return self.code[instruction.enter if instruction.op is Op.BRANCH else instruction.to - 1]


def needs_in(instruction: Instruction) -> list[Needs]:
    """What the expressions of an instruction need."""
    expressions = (
        instruction.when,
        instruction.stop_when,
        instruction.condition,
        instruction.value,
        instruction.output,
        instruction.default,
        instruction.undo_params,
        instruction.elements,
    )
    return [expression.needs for expression in expressions if expression is not None]
