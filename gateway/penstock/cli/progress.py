"""The progress of many calls: a bar on a terminal, a line now and then elsewhere. Always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from penstock.cli.console import BAD, NUMBER, QUIET, err
from penstock.cli.words import span

#: Seconds between two lines where there is no terminal.
LINE_EVERY_S = 10.0


class CallProgress:
    """Shows how far many calls have come. A context manager."""

    def __init__(self, title: str, total: int | None, *, done: int = 0, failed: int = 0) -> None:
        """`done` calls had ended before this run, `failed` of them badly."""
        shown = _Bar if err().is_terminal else _Lines
        self._shown = shown(title, total, done, failed)

    def advance(self, *, failed: bool) -> None:
        """One more call has ended."""
        self._shown.advance(failed)

    def total(self, calls: int) -> None:
        """The number of calls is known now."""
        self._shown.total = calls

    def note(self, text: Text) -> None:
        """Say something without disturbing the bar."""
        err().print(text)

    def __enter__(self) -> CallProgress:
        self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.stop()


class _Bar:
    def __init__(self, title: str, total: int | None, done: int, failed: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", style=NUMBER),
            BarColumn(),
            _Counts(),
            _Rate(),
            _Failures(),
            _Eta(),
            console=err(),
            refresh_per_second=8,
        )
        self._task = self._progress.add_task(title, total=total, completed=done, failed=failed, before=done)
        self._failed = failed

    @property
    def total(self) -> int | None:
        return None

    @total.setter
    def total(self, calls: int) -> None:
        self._progress.update(self._task, total=calls)

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def advance(self, failed: bool) -> None:
        if failed:
            self._failed += 1
            self._progress.update(self._task, failed=self._failed)
        self._progress.advance(self._task)


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        of = f" of {int(task.total):,}" if task.total is not None else ""
        return Text(f"{int(task.completed):,}{of}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.speed
        if task.finished and task.finished_time:
            speed = (task.completed - task.fields["before"]) / task.finished_time
        return Text(f"{speed:,.0f}/s" if speed else "", style=QUIET)


class _Failures(ProgressColumn):
    def render(self, task: Task) -> Text:
        failed = task.fields["failed"]
        return Text(f"failed {failed:,}", style=BAD if failed else QUIET)


class _Eta(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(f"took {span(task.finished_time or 0.0)}", style=QUIET)
        left = task.time_remaining
        return Text(f"eta {span(left)}" if left is not None else "", style=QUIET)


class _Lines:
    def __init__(
        self,
        title: str,
        total: int | None,
        done: int,
        failed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self._title = title
        self._done = done
        self._before = done
        self._failed = failed
        self._clock = clock
        self._started = self._said = clock()

    def start(self) -> None:
        self._started = self._said = self._clock()

    def stop(self) -> None:
        self._say()

    def advance(self, failed: bool) -> None:
        self._done += 1
        self._failed += failed
        if self._clock() - self._said >= LINE_EVERY_S:
            self._say()

    def _say(self) -> None:
        now = self._clock()
        self._said = now
        rate = (self._done - self._before) / max(now - self._started, 1e-3)
        of = f" of {self.total:,}" if self.total is not None else ""
        err().print(Text(f"{self._title}: {self._done:,}{of}, {rate:,.0f}/s, failed {self._failed:,}"))
