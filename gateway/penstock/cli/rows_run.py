"""Rows of a file through a tool or a pipeline, into files of results: what `map` and `pipeline run` share.

Ctrl-C leaves the job and the files so that the same command goes on with `--resume`; so does what else ends
it between two results: a full disk, a reader that went away, a Redis that stays away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from penstock.cli.console import BAD, GOOD, QUIET, err, print_json, say_note
from penstock.cli.exits import FAILED, INTERRUPTED, OK
from penstock.cli.maplog import MapLog, MapRun
from penstock.cli.progress import CallProgress
from penstock.cli.result_files import ResultFiles
from penstock.cli.rows import STANDARD, InputRows
from penstock.cli.words import counted
from penstock_plugins.errors import PenstockError, UnreachableError

if TYPE_CHECKING:
    from penstock_broker_config.settings import Settings
    from penstock_plugins.result import ToolResult
    from penstock_scheduler import Job, Producer

#: What became of a job that ended before its rows had.
_STOPPED = {"cancelled": "was cancelled", "expired": "came to its deadline"}
#: Submits the rows; a job whose results are read.
Start = Callable[["Producer", InputRows], "Job[list[ToolResult]]"]


class RowsRun:
    """One run over a file of rows.

    Args:
        log: where what an interrupted run needs is kept.
        run: what is run.
        resume: the job that is gone on with. None: a new one.
        again: the command line that goes on with a job, up to its id.
    """

    def __init__(self, log: MapLog, run: MapRun, *, resume: str | None, again: str) -> None:
        self._log = log
        self._run = run
        self._resume = resume
        self._again = again
        self.rows = InputRows(near(run.input))
        self._files = ResultFiles(near(run.output))

    def check(self) -> None:
        """Find what is wrong with the files before anything is connected to.

        Raises:
            typer.BadParameter: they cannot be read or written, or rows are no JSON objects.
        """
        self._files.check()
        self._files.keep_clear_of(near(self._run.input))
        if self._resume is not None:
            self._files.check_belong_to(self._resume)
        self.rows.check()
        self._log.check_unchanged(self._run, self.rows.sha256)

    def go(self, settings: Settings, start: Start, *, as_json: bool) -> int:
        """Submit the rows, write the results as they end, and say how it went."""
        from penstock_scheduler import Producer

        try:
            # An error that leaves this block, Ctrl-C included, stops feeding; the job stays resumable.
            with Producer(settings) as producer, self._files:
                job = start(producer, self.rows)
                self._run = replace(self._run, job=job.id, input_sha256=self.rows.sha256)
                self._log.write(self._run)
                self._files.open(resume=self._resume is not None)
                self._collect(job)
                record = job.record()
        except KeyboardInterrupt:
            self._say_how_to_go_on()
            return INTERRUPTED
        except Exception as error:
            # Other errors of ours are about the job, which they name.
            if not isinstance(error, PenstockError) or isinstance(error, UnreachableError):
                self._say_how_to_go_on()
            raise
        self._log.remove(self._run)
        self._summarize(as_json)
        if record.state.value in _STOPPED:
            what = _STOPPED[record.state.value]
            say_note(f"The job {what} meanwhile: rows that had not ended count as failed.")
        if record.pipeline and self._files.failed:
            say_note(f"Go on with what failed: penstock job resume {record.id}")
        return FAILED if self._files.failed else OK

    def _collect(self, job: Job[list[ToolResult]]) -> None:
        files = self._files
        with CallProgress(self._run.tool, self.rows.count, done=files.count, failed=files.failed) as progress:
            for result in job.results():
                if self._files.write(result):
                    progress.advance(failed=not result.success)

    def _say_how_to_go_on(self) -> None:
        if not self._run.job:
            return
        err().print(
            Text(f"Stopped after {counted(self._files.count, 'result')}; what was sent goes on.", QUIET)
        )
        if self._run.input == str(STANDARD):
            err().print(f"Look at it with: penstock job show {self._run.job}")
        else:
            err().print(f"Resume with: {self._again} {self._run.job}")

    def _summarize(self, as_json: bool) -> None:
        files, run = self._files, self._run
        if as_json:
            print_json({"job": run.job, "tool": run.tool, **what_came_shape(files)})
            return
        err().print(what_came(files).append(f"   job {run.job}", QUIET))


def what_came(files: ResultFiles) -> Text:
    """How many rows went well, how many did not, and where their results are."""
    line = Text.assemble((counted(files.succeeded, "row"), GOOD), " done")
    if files.path != STANDARD:
        line.append(f" → {files.path}")
    if files.failed:
        line.append(f", {files.failed:,} failed", BAD)
        if files.failed_path is not None:
            line.append(f" → {files.failed_path}")
    return line


def what_came_shape(files: ResultFiles) -> dict[str, Any]:
    """The same, ready for JSON."""
    return {
        "calls": files.count,
        "succeeded": files.succeeded,
        "failed": files.failed,
        "output": str(files.path if files.path == STANDARD else files.path.absolute()),
        "failures": str(files.failed_path) if files.failed and files.failed_path else None,
    }


def near(path: str) -> Path:
    """The path as people would type it here."""
    here = Path.cwd()
    return Path(path).relative_to(here) if Path(path).is_relative_to(here) else Path(path)
