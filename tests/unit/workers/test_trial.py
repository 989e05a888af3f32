"""A question that is asked in a process of its own."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

import pytest

from penstock_workers.lean.trial import asked_apart


@pytest.mark.parametrize("answer", ["no: ä", None])
def test_the_answer_is_what_the_process_said(answer: str | None) -> None:
    """Or nothing, where it has nothing to say."""
    assert asked_apart(lambda: answer) == answer


def test_what_it_leaves_behind_ends_with_it() -> None:
    """Nothing that it changes is changed here."""
    changed: list[int] = []

    def change() -> str:
        changed.append(1)
        return str(len(changed))

    assert asked_apart(change) == "1"
    assert changed == []


def test_a_long_answer_is_cut() -> None:
    """A pipe that nobody empties yet has no room for more."""
    answer = asked_apart(lambda: "x" * 1_000_000)

    assert answer is not None
    assert set(answer) == {"x"}


def fail() -> NoReturn:
    """As a path may that does not fit."""
    raise RuntimeError


def crash() -> NoReturn:
    """As a path may that reads the wrong memory: some signal ends it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hang() -> NoReturn:
    """What its alarm does when it comes, here without waiting for it."""
    os.kill(os.getpid(), signal.SIGALRM)
    raise AssertionError


@pytest.mark.parametrize(("question", "how"), [(fail, "1"), (crash, "-9"), (hang, "-14")])
def test_a_process_that_does_not_answer_is_an_answer(question: object, how: str) -> None:
    """Whoever asks goes on."""
    answer = asked_apart(question)  # type: ignore[arg-type]

    assert answer is not None
    assert answer.endswith(f"ended with {how}")
