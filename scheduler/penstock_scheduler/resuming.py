"""Goes on with a run that has ended: a new run of what failed or never ended, each from its last good step.

The run that ended stays as it is. The new one's id follows from its id, so that resuming twice runs once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from penstock_broker_config import crash
from penstock_broker_config.envelope import Signer, flow_context
from penstock_broker_config.flow_items import item_context, unpack_items
from penstock_broker_config.ledger import JobRecord, Resumable, top_flow
from penstock_plugins.errors import (
    ConfigurationError,
    ConflictError,
    JobNotFoundError,
    ValueLostError,
)
from penstock_plugins.pipelines.inputs import input_text
from penstock_plugins.pipelines.item import ItemState, ItemStatus, input_mark
from penstock_plugins.pipelines.item_check import check_item
from penstock_plugins.pipelines.program import Op
from penstock_plugins.pipelines.stages import next_stage
from penstock_scheduler.chunking import MAX_BYTES, ChunkSizer
from penstock_scheduler.flow import Flow, ask
from penstock_scheduler.origin import Origin
from penstock_scheduler.planning import Planned
from penstock_scheduler.results import large_value
from penstock_scheduler.resuming_plan import plan_to_resume
from penstock_scheduler.run_sending import Beginnings
from penstock_scheduler.runs import Runs
from penstock_scheduler.ticket import Ticket
from penstock_scheduler.toolbox import Toolbox

#: Seconds that the flows of a run that was cancelled may take to be closed, and between two looks.
_CLOSING_S, _LOOK_S = 15.0, 0.25
_RESUMED_ID = re.compile(r"(.+)-r(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the caller has said."""

    #: With the bundles that the run began with, whatever was published since.
    pinned: bool = False
    #: With what the tools' names mean now.
    latest: bool = False
    #: The inputs of the run that ended, to be compared with what it was given. None: they are not.
    inputs: Sequence[Any] | None = None


def next_id(job_id: str) -> str:
    """The id of the run that goes on with another."""
    match = _RESUMED_ID.fullmatch(job_id)
    return f"{match[1]}-r{int(match[2]) + 1}" if match else f"{job_id}-r1"


class Resuming:
    """Resumes runs."""

    def __init__(self, runs: Runs, signer: Signer, toolbox: Toolbox) -> None:
        self._runs = runs
        self._signer = signer
        self._toolbox = toolbox

    def resume(self, job_id: str, terms: Terms) -> Flow[Ticket]:
        """Begin the run that goes on; of one that was resumed before, find it."""
        if terms.pinned and terms.latest:
            raise ConfigurationError("pinned and latest exclude each other")
        record = yield from ask(lambda wire: wire.ledger.job(job_id))
        before = yield from self._runs.plan_of(record)
        run = next_id(job_id)
        begun = yield from self._begun(run)
        if begun is not None and begun.total is not None:
            return Ticket.from_record(begun)
        if not record.state.final:
            raise ConfigurationError(f"Job {job_id} {_how_it_ends(record)}")
        yield from self._closed(job_id)
        if begun is None:
            found = yield from plan_to_resume(self._toolbox, before, pinned=terms.pinned, latest=terms.latest)
        else:  # Not begun whole: the plan is decided.
            found = yield from self._runs.plan_of(begun)
        items = yield from self._items(job_id)
        if not items:
            raise ConfigurationError(f"Nothing of job {job_id} is left to be done, or it has expired")
        _check_inputs(items, terms)
        beginnings = Beginnings(found, found.plan.pipeline.parameters)
        for index, item in items.items():
            items[index] = _rewound(found, item, beginnings)
        yield from self._begin(record, found, run, items, begun)
        return Ticket(
            job_id=run, tool=found.plan.label, digest=found.digest, single=record.single, pipeline=True
        )

    def _begun(self, run: str) -> Flow[JobRecord | None]:
        try:
            return (yield from ask(lambda wire: wire.ledger.job(run)))
        except JobNotFoundError:
            return None

    def _closed(self, job_id: str) -> Flow[None]:
        """Wait until every flow of the run has said where it was."""
        for _ in range(int(_CLOSING_S / _LOOK_S)):
            if (yield from ask(lambda wire: wire.ledger.open_flows(job_id))) == 0:
                return
            yield from ask(lambda wire: wire.completions(job_id, cursor="$", wait_s=_LOOK_S, count=1))
        raise ConfigurationError(
            f"Steps of job {job_id} are still being stopped: try again; a scheduler has to run"
        )

    def _items(self, job_id: str) -> Flow[dict[int, ItemState]]:
        """Every item that failed or never ended, by its index, as it was then."""
        left: Resumable = yield from ask(lambda wire: wire.ledger.resumable(job_id))
        found: dict[int, ItemState] = {}
        for index, sealed in sorted(left.items.items()):
            packed = self._signer.unseal(item_context(job_id, index), sealed)
            shapes = yield from _unpacked(job_id, packed)
            found[index] = ItemState.from_json(shapes[0])
        for flow in left.flows:
            context = flow_context(top_flow(job_id, flow.base), flow.stage, flow.program)
            shapes = yield from _unpacked(job_id, self._signer.unseal(context, flow.items))
            for position, shape in enumerate(shapes):
                if position not in flow.ended and shape is not None:
                    found[flow.base + position] = ItemState.from_json(shape)
        return dict(sorted(found.items()))

    def _begin(
        self,
        record: JobRecord,
        found: Planned,
        run: str,
        items: Mapping[int, ItemState],
        begun: JobRecord | None,
    ) -> Flow[None]:
        context = Origin(job=record.id, indexes=tuple(items)).added_to(found.plan.context)
        tenant = context.get("tenant", record.tenant)  # as it was signed
        sender = yield from self._runs.sender(found, {"tenant": tenant}, run, context=context)
        states, sizer = list(items.values()), ChunkSizer(sender.chunks)
        base = 0 if begun is None else begun.accepted
        while base < len(states):
            texts = first_texts(states[base : base + sizer.count])
            stage = next_stage(found.stages, states[base : base + len(texts)])
            sender.first = 0 if stage is None else stage.number
            yield from sender.begin(
                sender.spec,
                texts,
                base,
                total=1 if record.single else None,
                single=record.single,
            )
            base += len(texts)
            sizer.sent(len(texts), (yield from sender.cost()))
        if not record.single:
            crash.reach("producer.before_seal")
            yield from ask(lambda wire: wire.ledger.seal(run))
            crash.reach("producer.after_seal")


def first_texts(items: Sequence[ItemState]) -> list[bytes]:
    """The first of these as JSON: one at least, and as many as travel together."""
    texts: list[bytes] = []
    size_bytes = 0
    for item in items:
        text = orjson.dumps(item.to_json())
        size_bytes += len(text)
        if texts and size_bytes > MAX_BYTES:
            break
        texts.append(text)
    return texts


def _how_it_ends(record: JobRecord) -> str:
    if record.total is not None:
        return "has not ended: wait for it, or cancel it first"
    return (
        "has not ended, and may be given more inputs; if they were interrupted, give it the rest "
        f"(`penstock pipeline run FILE --resume {record.id}`), or cancel it first"
    )


def _check_inputs(items: Mapping[int, ItemState], terms: Terms) -> None:
    if terms.inputs is None:
        return
    given = terms.inputs
    for index, item in items.items():
        if index >= len(given) or _is_other(item, orjson.loads(input_text(given[index]))):
            raise ConflictError(
                f"Input {index} is not what the run was given: resume without inputs, or submit it anew",
                {"index": index},
            )


def _is_other(item: ItemState, given: Any) -> bool:
    """Whether an item was given something else. Where nobody knows any more what it was given: no."""
    kept, mark = item.frames[0][:2] if item.frames else (None, None)
    if mark is None and kept is not None:  # not compared as they are: for Python true is 1
        mark = input_mark(kept)
    return mark is not None and input_mark(given) != mark


def _rewound(found: Planned, item: ItemState, beginnings: Beginnings) -> ItemState:
    """An item as it goes on; one whose input did not fit, and does not now, has failed again."""
    if item.status is not ItemStatus.RUNNING:
        item = item.rewound()
    check_item(item, found.programs[0], len(found.plan.tools))
    if item.status is not ItemStatus.RUNNING:
        return item
    instruction = found.programs[0].code[item.pc]
    if instruction.op is Op.GATHER:  # what its members had done is gone with them
        item.pc = instruction.enter
    if item.pc == 0:
        return ItemState.from_json(orjson.loads(beginnings.rows("record", first=0)(item.data)))
    return item


def _unpacked(job_id: str, packed: bytes) -> Flow[list[Any]]:
    references = [one for one in orjson.loads(packed) if isinstance(one, str)]
    kept: dict[bytes, bytes] = {}
    for reference in references:
        value = yield from ask(large_value(job_id, reference.encode()))
        if value is None:
            raise ValueLostError(f"A large item of job {job_id} is lost")
        kept[reference.encode()] = value
    return unpack_items(packed, kept.__getitem__)
