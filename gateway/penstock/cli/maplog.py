"""What an unfinished `penstock map` was started with, so that `--resume JOB` needs nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson
import typer

from penstock.cli.rows import STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRun:
    """One run of `penstock map`."""

    tool: str
    #: Paths as absolute texts, or "-".
    input: str
    output: str
    #: Empty until it is submitted.
    job: str = ""
    #: Of the input when it was first sent; a changed one cannot be resumed with. Empty: of standard input.
    input_sha256: str = ""

    @classmethod
    def of(cls, tool: str, source: Path, target: Path) -> MapRun:
        """A run that begins."""
        return cls(tool=tool, input=_absolute(source), output=_absolute(target))

    def changed(self, *, tool: str | None, source: Path | None, target: Path | None) -> MapRun:
        """The same with what the command line says otherwise."""
        return replace(
            self,
            tool=tool or self.tool,
            input=self.input if source is None else _absolute(source),
            output=self.output if target is None else _absolute(target),
        )


class MapLog:
    """A folder with one small file for each unfinished run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, job_id: str) -> MapRun | None:
        """The run of a job; None when it was started on another machine, or has finished."""
        try:
            return MapRun(**orjson.loads(self._file(job_id).read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            return None

    def write(self, run: MapRun) -> None:
        """Keep a run that was submitted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._file(run.job).with_suffix(".new")
        unfinished.write_bytes(orjson.dumps(asdict(run)))
        unfinished.replace(self._file(run.job))

    def remove(self, run: MapRun) -> None:
        """Forget a run that has finished."""
        self._file(run.job).unlink(missing_ok=True)

    def check_unchanged(self, run: MapRun, sha256: str) -> None:
        """See that the input is still what was sent.

        Args:
            run: what is gone on with.
            sha256: of the input as it is now; empty of standard input.

        Raises:
            typer.BadParameter: it was changed, so its rows are not the job's any more.
        """
        if run.job and sha256 and sha256 != run.input_sha256:
            raise typer.BadParameter(
                f"{run.input} was changed since job {run.job} began: start a new map, "
                f"or put the file back as it was"
            )

    def _file(self, job_id: str) -> Path:
        if not job_id.replace("-", "").isalnum():
            raise typer.BadParameter(f"{job_id!r} is no job id", param_hint="--resume")
        return self._folder / f"{job_id}.json"


def _absolute(path: Path) -> str:
    return str(path if path == STANDARD else path.absolute())
