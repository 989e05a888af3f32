"""What came of feeding a job in this process, for those who wait for it. Shared by threads and tasks."""

from __future__ import annotations

from penstock_plugins.errors import JobFailedError, PenstockError, WaitTimeoutError
from penstock_scheduler.feeder import Fed, FeedEnd


class Outcome:
    """Written once by the feeder, read by everybody."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._fed: Fed | None = None
        self._trouble: Exception | None = None
        #: The job was ended from here, so that a feeder which was stopped has nothing to complain of.
        self.job_ended = False

    def ended(self, fed: Fed) -> None:
        """The feeder came to its end."""
        self._fed = fed

    def failed(self, error: Exception) -> None:
        """The feeder was ended by an error before it could seal the job."""
        self._trouble = error
        if not isinstance(error, PenstockError):
            self._trouble = JobFailedError(f"Feeding job {self._job_id} failed: {error!r}")
            self._trouble.__cause__ = error

    def check(self) -> None:
        """Raise what ended the feeder before it could seal the job."""
        if self._trouble is not None:
            raise self._trouble

    def accepted(self) -> int:
        """How many calls the job has accepted; asked when the feeder has ended.

        Raises:
            JobFailedError: the input ended with an error, or feeding was stopped before the input had ended.
            UnreachableError: Redis stayed away for too long; the job can be resumed.
        """
        self.check()
        if self._fed is not None and self._fed.error is not None:
            raise JobFailedError(
                f"The input of job {self._job_id} ended with an error after {self._fed.accepted} calls: "
                f"{self._fed.error}"
            ) from self._fed.error
        if (self._fed is None or self._fed.end is FeedEnd.STOPPED) and not self.job_ended:
            raise JobFailedError(
                f"Feeding job {self._job_id} was stopped before its input had ended: it can be resumed"
            )
        return 0 if self._fed is None else self._fed.accepted

    def too_long(self, wait_s: float | None) -> WaitTimeoutError:
        """What is raised when the feeder has not ended in time."""
        return WaitTimeoutError(
            f"The input of job {self._job_id} had not ended after {wait_s or 0:g} s; it goes on"
        )
