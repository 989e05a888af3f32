"""A map's feeder at work in two tasks of an event loop: one reads the input, the other submits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any, cast

from penstock_scheduler.async_wire import AsyncWire
from penstock_scheduler.feeder import Feeder
from penstock_scheduler.intake import AsyncIntake, Source
from penstock_scheduler.map_plan import MapPlan
from penstock_scheduler.outcome import Outcome
from penstock_scheduler.patience import PATIENT_S


class AsyncFeeding:
    """Feeds one job in the background; what `Feeding` is to threads.

    Args:
        wire: where the calls are submitted.
        plan: what is fed.
        feeder: the plan's.
        inputs: the whole input, also of a job that is resumed.
    """

    def __init__(
        self, wire: AsyncWire, plan: MapPlan, feeder: Feeder, inputs: Iterable[Any] | AsyncIterable[Any]
    ) -> None:
        self._job_id = plan.ticket.job_id
        self._wire = wire
        self._feeder = feeder
        self._intake: AsyncIntake[Any] = AsyncIntake(inputs, plan.encode, skip=plan.skip)
        self._task: asyncio.Task[None] | None = None
        self._outcome = Outcome(self._job_id)

    def start(self) -> None:
        """Begin, in the running loop."""
        self._intake.start(f"penstock-input-{self._job_id}")
        self._task = asyncio.get_running_loop().create_task(
            self._feed(), name=f"penstock-feed-{self._job_id}"
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more will be submitted."""
        return self._task is not None and self._task.done()

    def stop(self, *, job_ended: bool = False) -> None:
        """See `Feeding.stop`. A submit may be cut off: whether it was accepted is seen when it is resumed."""
        self._outcome.job_ended |= job_ended
        self._intake.stop()
        if self._task is not None:
            self._task.cancel()

    async def wait(self, wait_s: float | None = None) -> int:
        """See `Feeding.wait`."""
        try:
            async with asyncio.timeout(wait_s):
                await self.join()
        except TimeoutError:
            raise self._outcome.too_long(wait_s) from None
        return self._outcome.accepted()

    def check(self) -> None:
        """Raise what ended the feeder before it could seal the job."""
        self._outcome.check()

    async def join(self) -> None:
        """Wait until nothing more is submitted, whatever the reason."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _feed(self) -> None:
        try:
            # Subscribed once, not anew for each wait for room.
            with self._wire.hub.listening(self._job_id):
                flow = self._feeder.feed(cast("Source", self._intake))
                self._outcome.ended(await self._wire.run(flow, patience_s=PATIENT_S))
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the job
            self._outcome.failed(error)
        finally:
            self._intake.stop()
