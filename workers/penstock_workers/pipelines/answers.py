"""What a step's task has come to, for those who send what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_broker_config.ledger import FlowStep
from penstock_plugins.result import ToolFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """Members that begin, and the stage that gathers them."""

    #: Of each member: its stages as far as they can be foreseen, and how many items it has.
    members: Sequence[tuple[Sequence[FlowStep], int]]
    gathering: FlowStep


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswer:
    """A stage is done, now or before."""

    flow: str
    stage: str
    #: Items of the flow, for people to read.
    items: int
    #: What the task returns.
    summary: str = ""
    #: The stages to come, as far as they can be foreseen. Empty: none, or not known here.
    following: Sequence[FlowStep] = ()
    #: Where the flow is, when the stage was done before: of the stages to come, the message may know more.
    at: str = ""
    #: The stage was a fan-out.
    fan: Fan | None = None
    #: It was the last member of its fan-out to end: its parent, and where that is.
    parent: tuple[str, FlowStep] | None = None
    #: It was the last member, as was found out later: the chord's body is to be sent, if there is a chord.
    last: bool = False
    #: Nothing succeeded: the task fails with this.
    failure: ToolFailure | None = None
