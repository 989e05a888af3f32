"""The guard stops the call that it was told of, once, and nobody else's."""

from __future__ import annotations

import math
import threading
import time

import pytest

from penstock_workers.guard import CallGuard

LONG_S = 60.0


class Engine:
    """Counts the steps of its epoch."""

    def __init__(self) -> None:
        self.epoch = 0
        self.stepped = threading.Event()

    def increment_epoch(self) -> None:
        self.epoch += 1
        self.stepped.set()


def harmless() -> CallGuard:
    """A guard that does not kill the process of a test that leaves its call running."""
    return CallGuard(on_overrun=lambda: None)


def test_call_is_stopped_at_its_deadline() -> None:
    """The epoch moves one step when the time is up, and the guard says why."""
    engine, guard = Engine(), harmless()

    guard.begin("a", engine, 0.01)
    assert engine.stepped.wait(10)
    guard.end()

    assert engine.epoch == 1
    assert guard.timed_out
    assert not guard.cancelled


def test_a_shorter_time_wakes_the_guard_that_waits_for_a_longer_one() -> None:
    """The timer thread sleeps until the earliest deadline that it knows of."""
    engine, guard = Engine(), harmless()
    guard.begin("long", engine, LONG_S)
    guard.end()

    guard.begin("short", engine, 0.01)

    assert engine.stepped.wait(10)


def test_call_that_has_ended_is_not_stopped() -> None:
    """Neither by its own deadline, nor by a cancel that comes late."""
    second, guard = Engine(), harmless()
    in_time = False
    while not in_time:  # a busy machine may have taken the call's time before it could end
        first = Engine()
        guard.begin("a", first, 0.02)
        guard.end()
        in_time = not guard.timed_out

    guard.begin("b", second, 0.05)
    late = guard.cancel("a")
    assert second.stepped.wait(10)
    guard.end()

    assert not late
    assert first.epoch == 0


def test_running_call_is_cancelled_by_its_name() -> None:
    """Only the engine of the running call moves."""
    engine, guard = Engine(), harmless()
    guard.begin("a", engine, LONG_S)

    assert not guard.cancel("b")
    assert guard.cancel("a")

    assert guard.running == "a"
    assert guard.cancelled
    assert engine.epoch == 1
    guard.end()
    assert guard.running is None


def test_what_is_said_of_one_call_is_forgotten_with_the_next() -> None:
    """A cancelled call does not make the next one cancelled."""
    engine, guard = Engine(), harmless()
    guard.begin("a", engine, LONG_S)
    guard.cancel("a")
    guard.end()

    guard.begin("b", engine, LONG_S)

    assert not guard.cancelled


def test_a_call_that_outlives_its_lease_is_told_from_one_that_was_cancelled() -> None:
    """Also when the lease goes on afterwards; the next lease begins anew."""
    engine, guard = Engine(), harmless()
    guard.hold_until(time.monotonic() + 0.01)
    guard.begin("a", engine, LONG_S)
    assert engine.stepped.wait(10)
    guard.hold_until(time.monotonic() + LONG_S)
    guard.end()
    outlived = guard.outlived
    guard.hold_until(math.inf)
    after = guard.outlived
    guard.begin("b", engine, LONG_S)
    guard.cancel("b")

    assert (outlived, after, guard.outlived) == (True, False, False)


def test_overrun_is_reported_once() -> None:
    """A call that is still there after its grace is beyond epochs; by default its process is killed."""
    overran = threading.Event()
    engine, guard = Engine(), CallGuard(grace_s=0.01, on_overrun=overran.set)

    guard.begin("a", engine, 0.01)
    assert overran.wait(10)
    overran.clear()
    guard.end()

    guard.begin("b", engine, 0.01)
    assert overran.wait(10)


def test_second_call_at_the_same_time_is_refused() -> None:
    """A process runs one guest call at a time."""
    guard = harmless()
    guard.begin("a", Engine(), LONG_S)

    with pytest.raises(RuntimeError, match="call a still runs"):
        guard.begin("b", Engine(), LONG_S)


def test_closed_guard_has_no_thread_and_can_begin_again() -> None:
    """A program that opens many executors does not collect threads."""
    engine, guard = Engine(), harmless()
    guard.begin("a", engine, LONG_S)
    guard.end()
    before = _watchers()

    guard.close()
    for watcher in before:
        watcher.join(10)
    guard.close()

    assert not any(watcher.is_alive() for watcher in before)
    guard.begin("b", engine, 0.01)
    assert engine.stepped.wait(10)
    guard.end()


def _watchers() -> list[threading.Thread]:
    """The newest guard's thread."""
    return [thread for thread in threading.enumerate() if thread.name == "penstock-guard"][-1:]
