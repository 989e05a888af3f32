"""How the ledger's answers about runs and flows are read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from penstock_broker_config.ledger.flow_records import (
    Advance,
    Advanced,
    FlowClaim,
    FlowState,
    FlowStep,
    Resumable,
    ResumableFlow,
    StageDone,
)
from penstock_broker_config.ledger.requests import text

#: Fields of a flow that say where it is: its program and its stage.
POSITION = ["p", "at"]


def read_position(fields: Sequence[bytes | None]) -> tuple[int, str] | None:
    """Program and stage, from the values of `POSITION`."""
    program, stage = fields
    return None if program is None or stage is None else (int(program), stage.decode())


def read_resumable(fields: Mapping[bytes, bytes]) -> Resumable:
    """What a run left for another one to go on from."""
    items: dict[int, bytes] = {}
    flows: dict[int, tuple[str, bytes]] = {}
    traces: dict[int, dict[str, bytes]] = {}
    for name, value in fields.items():
        key = name.decode()
        if not key.startswith(">"):
            items[int(key)] = value
            continue
        base, _, stage = key[1:].partition(":")
        if stage:
            traces.setdefault(int(base), {})[stage] = value
        else:
            said, _, state = value.partition(b"\n")
            flows[int(base)] = said.decode(), state
    found = []
    for number, (line, state) in sorted(flows.items()):
        program, stage, count, ended = line.split(" ")
        found.append(
            ResumableFlow(
                base=number,
                program=int(program),
                stage=stage,
                count=int(count),
                ended=frozenset(map(int, ended.split(","))) if ended else frozenset(),
                items=state,
                traces=traces.get(number, {}),
            )
        )
    return Resumable(items, found)


def names_of_traces(fields: Iterable[bytes], index: int) -> tuple[int, dict[str, bytes]]:
    """Which fields of what a run left are the traces of the flow that had an item.

    Returns:
        The flow's base, and stage → field.
    """
    base, found = 0, dict[str, bytes]()
    for field in fields:
        name = field.decode()
        if not name.startswith(">"):
            continue
        said, _, stage = name[1:].partition(":")
        if base < int(said) <= index:
            base, found = int(said), {}
        if stage and int(said) == base:
            found[stage] = field
    return base, found


def advanced_reader(done: StageDone) -> Callable[[list[Any]], Advanced]:
    """What reads the answer to an advance."""

    def read(answer: list[Any]) -> Advanced:
        word = text(answer[0])
        if word == "unplanted":
            raise ValueError(f"{answer[1]} members of {done.flow} at {done.stage} were not planted")
        if word != Advance.OK.value:
            return Advanced(Advance(word))
        _, last, parent, stage, queue, label = answer
        step = FlowStep(stage=text(stage), queue=text(queue), label=text(label)) if parent else None
        return Advanced(Advance.OK, last=bool(last), parent=text(parent), parent_step=step)

    return read


def read_flow_claim(answer: list[Any]) -> FlowClaim:
    """What came of entering a stage."""
    state = FlowState(text(answer[0]))
    match state:
        case FlowState.HELD:
            return FlowClaim(state=state, holder=text(answer[1]))
        case FlowState.EARLY:
            return FlowClaim(state=state, at=text(answer[1]), waiting=int(answer[2]))
        case FlowState.DONE:
            _, at, summary, goes_on, last, members, waiting = answer
            return FlowClaim(
                state=state,
                at=text(at),
                summary=text(summary),
                goes_on=bool(goes_on),
                last=bool(last),
                members=int(members),
                waiting=int(waiting),
            )
        case FlowState.GONE:
            return FlowClaim(state=state)
    _, fence, program, items, count, base, ended, losses, now, created, deadline, *rest = answer
    tenant, parent, limited, inner, traces = rest
    return FlowClaim(
        state=state,
        fence=int(fence),
        program=int(program),
        items=items,
        count=int(count),
        base=int(base),
        ended=frozenset(map(int, ended.split())),
        losses=int(losses),
        now_ms=int(now),
        created_ms=int(created),
        deadline_ms=int(deadline) if deadline else None,
        tenant=text(tenant),
        parent=text(parent),
        limited=bool(limited),
        inner=tuple(text(inner).split()),
        traces={text(traces[i]): traces[i + 1] for i in range(0, len(traces), 2)},
    )
