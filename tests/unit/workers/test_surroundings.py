"""Time and chance as a guest sees them."""

from __future__ import annotations

import time

from penstock_workers.surroundings import RESOLUTION_NS, Freeze, RealSurroundings


def test_real_clock_is_coarse() -> None:
    """It tells the time to a millisecond, and nothing about the host's caches."""
    before = time.time_ns()

    now = RealSurroundings().wall_ns()

    assert now % RESOLUTION_NS == 0
    assert before - RESOLUTION_NS <= now <= time.time_ns()


def test_real_chance_differs() -> None:
    """Two calls share no random numbers."""
    assert RealSurroundings().octets(16) != RealSurroundings().octets(16)


def test_frozen_surroundings_repeat() -> None:
    """Every call begins at the same moment with the same seed."""
    freeze = Freeze(at_s=1.5, seed=3)
    first, second = freeze(), freeze()

    assert first.octets(9) == second.octets(9)
    assert first.wall_ns() == second.wall_ns() == 1_500_000_000 + RESOLUTION_NS


def test_frozen_clock_moves_with_every_look() -> None:
    """A guest that waits for the next millisecond gets it."""
    frozen = Freeze()()

    looks = [frozen.monotonic_ns() for _ in range(3)]

    assert looks == sorted(set(looks))
