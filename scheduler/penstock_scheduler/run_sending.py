"""Sends items of a run: the ledger accepts them as one flow, then the chain of its stages is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from penstock_broker_config import crash
from penstock_broker_config.envelope import Signer, flow_context
from penstock_broker_config.flow_items import pack_items
from penstock_broker_config.ledger import RunSpec, Submitted, top_flow
from penstock_broker_config.value_references import INLINE_BYTES
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ParamsError
from penstock_plugins.pipelines.inputs import input_value
from penstock_plugins.pipelines.item import ItemState, ItemStatus, input_mark
from penstock_plugins.result import ToolFailure
from penstock_plugins.schema import ParamsSchema
from penstock_scheduler.chunking import OF_ITEMS, ChunkBounds
from penstock_scheduler.encoding import OnInvalid
from penstock_scheduler.flow import Effect, Flow, ask
from penstock_scheduler.planning import Planned
from penstock_scheduler.run_costs import RunCosts

#: After so many chunks, whose processes may be cold and which have a look at what an item costs each, there
#: is one for every few.
_FIRST_CHUNKS, _LOOK_EVERY = 16, 4


@dataclass(slots=True, kw_only=True)
class RunSender:
    """Sends the items of one run; a `Sender` whose texts are states of items."""

    #: The run, with its plan sealed.
    spec: RunSpec
    planned: Planned
    signer: Signer
    #: Seconds from the run's creation to its deadline. None: no deadline, or the run exists.
    deadline_s: float | None
    #: See `Sender`.
    deadline_ms: int | None
    #: Seconds after which the reaper sends a step again, should it get lost.
    ring_after_s: float
    #: The stage at which its items begin.
    first: int = 0
    _chunks: int = field(default=0, init=False)
    _cost_us: float | None = field(default=None, init=False)
    #: The run's counters at the last look.
    _counted: dict[str, int] = field(default_factory=dict, init=False)
    _costs: RunCosts = field(init=False)

    def __post_init__(self) -> None:
        self._costs = RunCosts(self.planned, first=self.first)

    @property
    def job_id(self) -> str:
        """See `Sender`."""
        return self.spec.run

    @property
    def chunks(self) -> ChunkBounds:
        """See `Sender`."""
        return OF_ITEMS

    def send(self, texts: Sequence[bytes], base: int) -> Flow[Submitted]:
        """See `Sender`. The run has its plan already."""
        submitted = yield from self.begin(replace(self.spec, plan=b""), texts, base)
        return submitted._replace(cost_us=(yield from self.cost()))

    def begin(
        self,
        spec: RunSpec,
        texts: Sequence[bytes],
        base: int,
        *,
        total: int | None = None,
        single: bool = False,
        idempotency: tuple[str, str] | None = None,
    ) -> Flow[Submitted]:
        """Have items accepted as one flow, and send its chain.

        Raises:
            OverloadedError: too much is waiting; nothing was accepted.
            ConflictError: the idempotency key was used before with another input.
            JobNotFoundError: the run has not accepted as many items as `base` says, or has expired.
        """
        flow, steps = top_flow(spec.run, base), self.planned.steps_from(self.first)
        aside: dict[bytes, bytes] = {}
        for text in texts:
            if len(text) > INLINE_BYTES:
                aside[text] = yield from ask(_put(spec.run, text))
        context = flow_context(flow, steps[0].stage, 0)
        items = self.signer.seal(context, pack_items(texts, aside.__getitem__))
        crash.reach("producer.before_begin")
        submitted = yield from ask(
            lambda wire: wire.ledger.begin(
                spec,
                items,
                base=base,
                count=len(texts),
                size_bytes=sum(map(len, texts)),
                first=steps[0],
                deadline_s=self.deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                ring_after_s=self.ring_after_s,
            )
        )
        crash.reach("producer.after_begin")
        if submitted.job_id == spec.run and not submitted.state.final:
            yield from ask(lambda wire: wire.ring_step(flow, steps, items=len(texts)))
            crash.reach("producer.after_step")
        return submitted

    def cost(self) -> Flow[float | None]:
        """What an item costs, see `RunCosts`; looked up now and then."""
        if self._cost_us is None or self._chunks < _FIRST_CHUNKS or self._chunks % _LOOK_EVERY == 0:
            counters = yield from ask(lambda wire: wire.ledger.steps(self.spec.run))
            tools = self._costs.tools
            found = (yield from ask(lambda wire: wire.costs(tools))) if tools else []
            self._learn(counters, dict(zip(tools, found, strict=True)))
        self._chunks += 1
        return self._cost_us

    def _learn(self, counters: dict[str, int], tools_us: dict[str, float | None]) -> None:
        """What is new counts as much as all before: processes warm up, and inputs change."""
        if self._counted and self._cost_us is not None:
            recent = {name: count - self._counted.get(name, 0) for name, count in counters.items()}
            cost_us = self._costs.of_item(recent, dict.fromkeys(tools_us))
            if cost_us is not None:
                self._cost_us = (self._cost_us + cost_us) / 2
        else:
            cost_us = self._costs.of_item(counters, tools_us)
            self._cost_us = self._cost_us if cost_us is None else cost_us
        self._counted = counters


class Beginnings:
    """Makes the states with which items begin.

    Args:
        planned: what they go through.
        parameters: schema that each input must fit. None: any JSON value will do.
    """

    def __init__(self, planned: Planned, parameters: dict[str, Any] | None) -> None:
        self._reads_input = planned.programs[0].reads_input
        self._schema = None if parameters is None else ParamsSchema(parameters)

    def state(self, given: Any) -> bytes:
        """The state of one item.

        Raises:
            ParamsError: its input does not fit, is too large or is no JSON.
        """
        value = input_value(given)
        if self._schema is not None:
            self._schema.check(value)
        return _json(self._fresh(value))

    def rows(self, on_invalid: OnInvalid, *, first: int) -> Callable[[Any], bytes]:
        """What makes the state of each input of a map; see `encoding.row_encoder`."""
        index = first - 1

        def one(given: Any) -> bytes:
            nonlocal index
            index += 1
            try:
                return self.state(given)
            except ParamsError as error:
                if on_invalid == "record":
                    return self._refused(given, error)
                told = {**error.details, "index": index}
                raise ParamsError(f"Input {index}: {error.message}", told) from error

        return one

    def _refused(self, given: Any, error: ParamsError) -> bytes:
        """An item that has failed before it begins; with its input, where that can travel."""
        try:
            item = self._fresh(input_value(given))
        except ParamsError:
            item = ItemState.fresh(None)
        item.status = ItemStatus.FAILED
        item.failure = ToolFailure(
            code=ErrorCode.VALIDATION_ERROR, message=error.message, details=error.details or None
        )
        return _json(item)

    def _fresh(self, value: Any) -> ItemState:
        """An item whose input can be compared later, also when it is not kept."""
        mark = None if self._reads_input and value is not None else input_mark(value)
        return ItemState.fresh(value, reads_input=self._reads_input, mark=mark)


def _json(item: ItemState) -> bytes:
    return orjson.dumps(item.to_json())


def _put(run: str, value: bytes) -> Effect[bytes]:
    return lambda wire: wire.put_value(run, value)
