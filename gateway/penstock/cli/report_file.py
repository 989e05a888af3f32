"""The HTML report that `penstock demo` writes: where it may be, and whose file it may replace."""

from __future__ import annotations

from pathlib import Path

import typer

from penstock.cli.result_files import check_writable
from penstock.cli.rows import STANDARD
from penstock.demo.web.document import BEGINNING

#: Its name, beside the results, unless another is given.
NAME = "demo-report.html"


class ReportFile:
    """A file for a report. An earlier report is replaced; a file of anybody else is not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, *, beside: Path) -> None:
        """See that it can be written, without touching it.

        Args:
            beside: the results, which must be another file.

        Raises:
            typer.BadParameter: it cannot be.
        """
        if self.path == STANDARD:
            raise typer.BadParameter("The report is a page for a browser: name a file")
        check_writable(self.path)
        if self.path.resolve() == beside.resolve():
            raise typer.BadParameter(f"{self.path} is the file of the results: name another for the report")
        if self.path.exists() and not self._is_ours():
            raise typer.BadParameter(
                f"{self.path} is no report of `penstock demo`, and would be overwritten: "
                "name another file by --report"
            )

    def write(self, page: str) -> None:
        """Write the page."""
        self.path.write_text(page, encoding="utf-8", errors="replace")

    def _is_ours(self) -> bool:
        if not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            beginning = file.read(len(BEGINNING))
        return beginning in (b"", BEGINNING.encode())
