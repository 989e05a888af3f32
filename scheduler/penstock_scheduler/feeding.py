"""A map's feeder at work in two threads of this process: one reads the input, the other submits."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from penstock_scheduler.blocking_wire import BlockingWire
from penstock_scheduler.feeder import Feeder
from penstock_scheduler.intake import Intake
from penstock_scheduler.map_plan import MapPlan
from penstock_scheduler.outcome import Outcome
from penstock_scheduler.patience import PATIENT_S


class _Stopped(Exception):
    """The producer is closing while Redis does not answer."""


class Feeding:
    """Feeds one job in the background.

    Args:
        wire: where the calls are submitted.
        plan: what is fed.
        feeder: the plan's.
        inputs: the whole input, also of a job that is resumed.
    """

    def __init__(self, wire: BlockingWire, plan: MapPlan, feeder: Feeder, inputs: Iterable[Any]) -> None:
        self._job_id = plan.ticket.job_id
        self._wire = wire
        self._feeder = feeder
        self._intake: Intake[Any] = Intake(inputs, plan.encode, skip=plan.skip)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._outcome = Outcome(self._job_id)

    def start(self) -> None:
        """Begin. The threads do not keep the program alive."""
        self._intake.start(f"penstock-input-{self._job_id}")
        threading.Thread(target=self._feed, name=f"penstock-feed-{self._job_id}", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether nothing more will be submitted."""
        return self._ended.is_set()

    def stop(self, *, job_ended: bool = False) -> None:
        """Submit nothing more. Unless the job has ended, it stays open and can be resumed."""
        self._outcome.job_ended |= job_ended
        self._stop.set()
        self._intake.stop()

    def wait(self, wait_s: float | None = None) -> int:
        """Wait until the input has ended; returns how many calls the job has accepted.

        Raises:
            WaitTimeoutError: it has not ended in time.
            and what `Outcome.accepted` raises.
        """
        if not self._ended.wait(wait_s):
            raise self._outcome.too_long(wait_s)
        return self._outcome.accepted()

    def check(self) -> None:
        """Raise what ended the feeder before it could seal the job."""
        self._outcome.check()

    def join(self) -> None:
        """Wait until nothing more is submitted, whatever the reason."""
        self._ended.wait()

    def _feed(self) -> None:
        try:
            flow = self._feeder.feed(self._intake)
            self._outcome.ended(self._wire.run(flow, patience_s=PATIENT_S, pause=self._pause))
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the job
            self._outcome.failed(error)
        finally:
            self._intake.stop()
            self._ended.set()

    def _pause(self, pause_s: float) -> None:
        if self._stop.wait(pause_s):
            raise _Stopped
