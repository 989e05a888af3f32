"""Submits dead letters once more, and says of each what became of it: also when Ctrl-C comes in between.

What was sent goes on then, and what was not is a dead letter still. Doing it again finds a job that was
accepted and of which nobody was told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from penstock.cli.console import BAD, NUMBER, QUIET, out, print_json, safe, say_error, say_note
from penstock.cli.exits import FAILED, INTERRUPTED, OK, explain
from penstock.cli.words import counted
from penstock_plugins.pipelines.hooks import NoHooks, SubmissionNote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock_plugins.result import ToolResult
    from penstock_scheduler import Job, Producer


class Replaying(NoHooks):
    """Replays of one command, and hears as a producer's hooks which job may have been accepted.

    Args:
        wait: for the results.
        as_json: what became of each is one JSON object in a line.
    """

    def __init__(self, *, wait: bool, as_json: bool) -> None:
        self._wait = wait
        self._as_json = as_json
        #: Submitted and not yet shown, by the letter's call.
        self._sent: dict[str, Job[ToolResult]] = {}
        self._count = 0
        #: Sent, and nobody has said whether it was accepted. "": none.
        self._asked = ""

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks.before_submission`."""
        self._asked = note.job

    def run(self, producer: Producer, calls: Sequence[str], *, latest: bool, run_again: bool) -> int:
        """Replay all of them; returns the exit code. Of several, one that cannot be does not keep the others.

        Raises:
            As `Producer.replay`, of a single one.
        """
        try:
            return max(self._send(producer, calls, latest=latest, run_again=run_again), self._collect())
        except KeyboardInterrupt:
            return self._interrupted(len(calls))

    def _send(self, producer: Producer, calls: Sequence[str], *, latest: bool, run_again: bool) -> int:
        code = OK
        for call in calls:
            try:
                self._sent[call] = producer.replay(call, latest=latest, run_again=run_again)
            except Exception as error:
                if len(calls) == 1:
                    raise
                text, failed = explain(error)
                say_error(f"{call}: {text}")
                code = max(code, failed)
            else:
                self._count += 1
            self._asked = ""
            if call in self._sent and not self._wait:
                self._show(call, None)
        return code

    def _collect(self) -> int:
        code = OK
        for call, job in list(self._sent.items()):
            result = job.result()
            self._show(call, result)
            if not result.success:
                code = FAILED
        return code

    def _interrupted(self, chosen: int) -> int:
        for call in list(self._sent):
            self._show(call, None)
        say_note(f"Stopped after {self._count:,} of {counted(chosen, 'dead letter')}; what was sent goes on.")
        if self._asked:
            say_note(f"Job {self._asked} may have been accepted, too.")
        if self._count < chosen:
            say_note("The others are dead letters still; the same command replays them.")
        return INTERRUPTED

    def _show(self, call: str, result: ToolResult | None) -> None:
        job = self._sent.pop(call)
        if self._as_json:
            shape: dict[str, Any] = {"call": call, "job": job.id}
            print_json(shape if result is None else {**shape, "result": result.to_dict()})
            return
        line = Text.assemble((safe(call), NUMBER), (" → ", QUIET), (job.id, NUMBER))
        if result is not None and result.error is not None:
            line.append(f"  {result.error.code}: {safe(result.error.message)}", BAD)
        elif result is not None:
            line.append("  succeeded")
        out().print(line)
