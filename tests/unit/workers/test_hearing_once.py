"""A signal's handler that is called once, though the signal comes while it runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from penstock_workers.hearing_once import hear_once


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The handler of pytest comes back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_handler_is_not_interrupted_by_its_own_signal() -> None:
    """One that holds a lock would wait for itself."""
    heard: list[str] = []

    def handler(*_: object) -> None:
        heard.append("begins")
        signal.raise_signal(signal.SIGTERM)
        heard.append("ends")

    signal.signal(signal.SIGTERM, handler)
    hear_once(signal.SIGTERM)
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)

    assert heard == ["begins", "ends"]


def test_what_has_no_handler_stays_as_it_is() -> None:
    """The process ends of it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    hear_once(signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
