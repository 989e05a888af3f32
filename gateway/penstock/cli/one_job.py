"""A submission that a command waits for or leaves behind. From when it may be accepted, Ctrl-C cancels it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.cli.console import err, say_note
from penstock_plugins.errors import JobNotFoundError, WaitTimeoutError
from penstock_plugins.pipelines.hooks import NoHooks, SubmissionNote

if TYPE_CHECKING:
    from penstock_broker_config.settings import Settings
    from penstock_plugins.result import ToolResult
    from penstock_scheduler import Job, Producer
    from penstock_scheduler.operations import Work
    from penstock_scheduler.options import SubmitOptions

#: Seconds of waiting after which we say where the call stands, and then again.
_PATIENCE_S = 1.0
#: Seconds after which it is worth a word that nobody has begun with it.
_NOT_BEGUN_S = 10.0


def run_one(
    settings: Settings, work: Work, params: Any, options: SubmitOptions, *, wait: bool
) -> ToolResult | str | None:
    """Submit one call, or one item of a pipeline.

    Returns:
        Its result; without `wait` the job's id; None after Ctrl-C.

    Raises:
        As `Producer.submit`.
    """
    from penstock_scheduler import Producer

    sent = _Sent()
    with Producer(settings, hooks=sent) as producer:
        try:
            job = producer.submit(work, params, **options)
            sent.job_id = job.id  # an idempotency key may have found another
            return _wait_for(job) if wait else job.id
        except KeyboardInterrupt:
            if sent.job_id:
                cancel_after_all(producer, sent.job_id)
            return None


def cancel_after_all(producer: Producer, job_id: str) -> None:
    """Cancel a job that may have been accepted, and say so; if that fails, how it is found.

    Raises:
        UnreachableError: Redis does not answer.
    """
    try:
        cancelled = producer.job(job_id).cancel()
    except JobNotFoundError:
        say_note(f"Job {job_id} was not accepted.")
    except BaseException:
        say_note(f"Job {job_id} may go on.")
        err().print(f"Look at it with: penstock job show {job_id}")
        raise
    else:
        say_note(f"Job {job_id} was cancelled." if cancelled else f"Job {job_id} had ended.")


class _Sent(NoHooks):
    """Knows which job may have been accepted, before anybody says so."""

    def __init__(self) -> None:
        #: "": nothing was sent.
        self.job_id = ""

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks.before_submission`."""
        self.job_id = note.job


def _wait_for(job: Job[ToolResult]) -> ToolResult:
    """Wait for it; say so when it does not begin, and on a terminal where it stands when that takes long."""
    if not err().is_terminal:
        try:
            return job.result(wait_s=_NOT_BEGUN_S)
        except WaitTimeoutError:
            _say_if_not_begun(job)
            return job.result()
    with err().status("") as status:
        status.stop()
        looks = 0
        while True:
            try:
                return job.result(wait_s=_PATIENCE_S)
            except WaitTimeoutError:
                looks += 1
                if looks == int(_NOT_BEGUN_S / _PATIENCE_S):
                    _say_if_not_begun(job)
                status.update(f"{job.state.value}  [dim]job {job.id}, Ctrl-C cancels it")
                status.start()


def _say_if_not_begun(job: Job[ToolResult]) -> None:
    if job.state.value == "queued":
        say_note(f"Job {job.id} waits to begin: a worker of its queue has to run (see `penstock doctor`).")
