"""One flow, two drivers: the same steps, answers and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from penstock_plugins.errors import JobNotFoundError, OverloadedError, UnreachableError
from penstock_scheduler.flow import Flow, ask, run, run_async
from penstock_scheduler.patience import Patience, in_our_words

Answer = Callable[[Any], Any]


def sum_of(*answers: Answer) -> Flow[int]:
    """Asks for numbers, one after the other."""
    total = 0
    for answer in answers:
        total += yield from ask(answer)
    return total


def awaited(answer: Answer) -> Answer:
    """The same answer as the asyncio wire gives it."""

    async def later(wire: Any) -> Any:
        return answer(wire)

    return later


def failing(*errors: Exception, then: int) -> Answer:
    """Raises each error once, then answers."""
    left = list(errors)

    def answer(_: Any) -> int:
        if left:
            raise left.pop(0)
        return then

    return answer


def test_a_flow_gets_its_answers_in_order() -> None:
    """In a thread."""
    assert run(sum_of(lambda wire: wire + 1, lambda wire: wire * 10), 2) == 23  # type: ignore[arg-type]


async def test_the_same_flow_runs_in_an_event_loop() -> None:
    """Awaited."""
    assert await run_async(sum_of(awaited(lambda wire: wire + 1), awaited(lambda wire: wire * 10)), 2) == 23


def test_an_effect_is_asked_again_while_the_connection_fails() -> None:
    """What was answered before is not asked again."""
    asked = 0
    pauses: list[float] = []
    flaky = failing(redis.ConnectionError("gone"), redis.TimeoutError("slow"), then=5)

    def count(_: object) -> int:
        nonlocal asked
        asked += 1
        return asked

    total = run(
        sum_of(count, flaky),
        None,  # type: ignore[arg-type]
        pause=pauses.append,
    )

    assert total == 6
    assert asked == 1
    assert len(pauses) == 2


async def test_an_effect_is_asked_again_in_an_event_loop_too() -> None:
    """The pause is slept in the loop."""
    flaky = awaited(failing(redis.ConnectionError("gone"), then=5))

    assert await run_async(sum_of(flaky), None) == 5


def test_a_flow_may_catch_what_an_effect_raises() -> None:
    """Errors arrive where the effect was asked for."""

    def careful() -> Flow[str]:
        try:
            yield from ask(failing(JobNotFoundError("no such job"), then=0))
        except JobNotFoundError as error:
            return str(error)
        return "nothing"

    assert run(careful(), None) == "no such job"  # type: ignore[arg-type]


async def test_a_flow_may_catch_errors_in_an_event_loop_too() -> None:
    """The other driver hands them over as well."""

    def careful() -> Flow[str]:
        try:
            yield from ask(awaited(failing(JobNotFoundError("no such job"), then=0)))
        except JobNotFoundError as error:
            return str(error)
        return "nothing"

    assert await run_async(careful(), None) == "no such job"


def test_used_up_patience_is_said_in_our_words() -> None:
    """With what to do about it."""
    with pytest.raises(UnreachableError, match="penstock up"):
        run(sum_of(failing(redis.ConnectionError("gone"), then=1)), None, patience_s=0)  # type: ignore[arg-type]


class TestPatience:
    """When to ask again, and when to give up."""

    def test_pauses_grow_and_end_with_the_patience(self) -> None:
        """They never reach past it."""
        now = [0.0]
        patience = Patience(10, clock=lambda: now[0])
        pauses: list[float] = []

        def ask_on() -> None:
            while True:
                pauses.append(patience.pause_s(redis.ConnectionError("gone")))
                now[0] += pauses[-1]

        with pytest.raises(UnreachableError):
            ask_on()

        assert sum(pauses) == pytest.approx(10)
        assert pauses[0] <= 0.05 < max(pauses) <= 2.0

    @pytest.mark.parametrize(
        "error",
        [
            redis.AuthenticationError("wrong password"),
            redis.ResponseError("unknown command"),
            redis.OutOfMemoryError("used memory > maxmemory"),
        ],
    )
    def test_what_another_try_does_not_cure_is_final_at_once(self, error: redis.RedisError) -> None:
        """Waiting would only hide it."""
        with pytest.raises((UnreachableError, OverloadedError)):
            Patience(10).pause_s(error)

    def test_a_full_redis_is_an_overload_that_passes(self) -> None:
        """With when to try again."""
        error = in_our_words(redis.OutOfMemoryError("used memory > maxmemory"))

        assert isinstance(error, OverloadedError)
        assert error.details["retry_after_s"] > 0
