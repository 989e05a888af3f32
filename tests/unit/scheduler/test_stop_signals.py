"""Waiting for the end: any number of signals, at any moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from penstock_scheduler.stop_signals import StopSignals

ROUNDS = 300


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The handlers of pytest come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_whenever_it_comes(number: signal.Signals) -> None:
    """Before it is waited for, and while it is; until the end."""
    with StopSignals() as stop:
        assert not stop.wait(0)
        signal.raise_signal(number)
        assert stop.wait(0)
        assert stop.wait(60)
    with StopSignals() as stop:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        assert stop.wait(60)


@pytest.mark.timeout(60)
def test_signals_upon_signals_do_not_wait_for_each_other() -> None:
    """As from a parent with many threads that dies: they come while the one before is handled."""
    for _ in range(ROUNDS):
        with StopSignals() as stop:
            threads = [threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert stop.wait(60)
            for thread in threads:
                thread.join()
