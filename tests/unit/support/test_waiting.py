"""Waiting: it returns what it waited for, and says what never came."""

from __future__ import annotations

import pytest

from tests.support.waiting import wait_until


def test_what_the_condition_gives_is_returned() -> None:
    """The first true answer comes back."""
    answers = iter([None, 0, "", "ready"])

    answer = wait_until(lambda: next(answers), 10, "an answer")

    assert answer == "ready"


def test_a_condition_that_never_comes_true_is_named() -> None:
    """The error says what was waited for, and for how long."""
    with pytest.raises(TimeoutError, match=r"Waited 0 s, and not yet: the moon is blue"):
        wait_until(lambda: False, 0, lambda: "the moon is blue")


def test_a_condition_that_raises_is_heard() -> None:
    """What the condition raises goes through."""

    def broken() -> bool:
        raise ConnectionError("no")

    with pytest.raises(ConnectionError):
        wait_until(broken, 10, "nothing")
