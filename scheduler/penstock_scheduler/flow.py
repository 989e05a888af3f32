"""Steps written once and driven twice: by a thread that blocks, and by an event loop.

A flow is a generator. It yields what it wants from the outside as an `Effect`, a function of the wire, and
is sent the answer; so all decisions stand in the flow, and all waiting in the two drivers below. Effects
are typed against the blocking wire; the asyncio wire has the same methods and returns awaitables.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, cast

import redis

from penstock_scheduler.patience import BRIEF_S, Patience
from penstock_scheduler.wire import Wire

T = TypeVar("T")

#: Something wanted from the outside. It may be asked for again when the connection fails.
Effect = Callable[[Wire], T]
Flow = Generator[Effect[Any], Any, T]


def ask(effect: Effect[T]) -> Flow[T]:
    """One step of a flow: `answer = yield from ask(lambda wire: …)`."""
    answer: T = yield effect
    return answer


def run(
    flow: Flow[T], wire: Wire, *, patience_s: float = BRIEF_S, pause: Callable[[float], Any] = time.sleep
) -> T:
    """Drive a flow in this thread.

    Args:
        flow: what to do.
        wire: what its effects are asked of.
        patience_s: how long each effect is tried while Redis does not answer.
        pause: waits that many seconds between two tries.

    Raises:
        UnreachableError: Redis did not answer for that long.
    """
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            effect = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            return cast("T", end.value)
        answer, error = None, None
        try:
            answer = _ask_again(effect, wire, Patience(patience_s), pause)
        except Exception as trouble:  # noqa: BLE001 - handed to the flow, which decides
            error = trouble


async def run_async(flow: Flow[T], wire: object, *, patience_s: float = BRIEF_S) -> T:
    """Drive a flow in this event loop. Raises what `run` raises."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            effect = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            return cast("T", end.value)
        answer, error = None, None
        try:
            answer = await _ask_again_async(effect, cast("Wire", wire), Patience(patience_s))
        except Exception as trouble:  # noqa: BLE001 - handed to the flow, which decides
            error = trouble


def _ask_again(effect: Effect[T], wire: Wire, patience: Patience, pause: Callable[[float], Any]) -> T:
    while True:
        try:
            return effect(wire)
        except redis.RedisError as error:
            pause(patience.pause_s(error))


async def _ask_again_async(effect: Effect[T], wire: Wire, patience: Patience) -> T:
    while True:
        try:
            return await cast("Awaitable[T]", effect(wire))
        except redis.RedisError as error:
            await asyncio.sleep(patience.pause_s(error))
