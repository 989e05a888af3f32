"""A broker that does not answer neither fails nor slows a submit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from kombu.exceptions import OperationalError

from penstock_broker_config.bell import QUIET_S, Bell
from penstock_broker_config.ledger import FlowStep


class Broken:
    """A doorbell whose broker is away; counts how often it was tried."""

    def __init__(self) -> None:
        self.tried = 0
        self.error: Exception | None = OperationalError("connection refused")

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        self._heard()

    def step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        self._heard()

    def _heard(self) -> None:
        self.tried += 1
        if self.error is not None:
            raise self.error


def test_a_broken_broker_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """Each try may take seconds, and the reaper rings anyway."""
    now = [0.0]
    doorbell = Broken()
    bell = Bell(doorbell, clock=lambda: now[0])

    for _ in range(5):
        bell.ring("j.0", queue="penstock.default", tool="a.b", calls=1)
    assert doorbell.tried == 1
    assert "rings again" in caplog.text

    now[0] = QUIET_S
    doorbell.error = None
    bell.ring("j.0", queue="penstock.default", tool="a.b", calls=1)
    bell.step("r/0", [FlowStep(stage="0", queue="penstock.default", label="a.b")], items=1)
    assert doorbell.tried == 3


def test_what_is_no_trouble_of_the_broker_is_raised() -> None:
    """A mistake of ours must not look like a slow system."""
    doorbell = Broken()
    doorbell.error = TypeError("our mistake")

    with pytest.raises(TypeError):
        Bell(doorbell).ring("j.0", queue="penstock.default", tool="a.b", calls=1)
