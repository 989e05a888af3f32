"""Takes the items of a flow through a stage: those that ask for the same call together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from penstock_plugins.pipelines.item import ItemStatus
from penstock_plugins.pipelines.program import Instruction, Op
from penstock_workers.pipelines.work import FlowWork


class Calls(Protocol):
    """Runs the calls that items ask for."""

    def run(self, work: FlowWork, instruction: Instruction, positions: Sequence[int]) -> None:
        """Tell the machine what came of the call of each of these items."""
        ...


def take_through(
    work: FlowWork, last: int, calls: Calls, *, through: Iterable[int] | None = None
) -> list[int]:
    """Take items to the end of a stage, which is the instruction `last`.

    Args:
        work: whose items.
        last: where the stage ends.
        calls: runs their calls.
        through: their positions. None: all of them.

    Returns:
        Positions of the items that stand at a FAN.

    Raises:
        FlowLostError, FlowWaitsError, GiveBackError: the stage is not done.
    """
    machine, items, traces = work.machine, work.items, work.traces
    asking: defaultdict[int, list[int]] = defaultdict(list)
    fanning: list[int] = []

    advance = machine.advance

    def move(position: int) -> None:
        item = items[position]
        if item is None or item.status is not ItemStatus.RUNNING:
            return
        work.check()
        asks = advance(item, last, traces[position])
        if asks is None:
            return
        if asks.op is Op.CALL:
            asking[asks.at].append(position)
        elif asks.op is Op.FAN:
            fanning.append(position)

    for position in range(len(items)) if through is None else through:
        move(position)
    while asking:
        # Jumps go forward only: nobody comes to an instruction that is behind the first one asked for.
        at = min(asking)
        positions, instruction = asking.pop(at), machine.program.code[at]
        calls.run(work, instruction, positions)
        for position in positions:
            move(position)
    return sorted(fanning)
