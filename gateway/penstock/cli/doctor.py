"""`penstock doctor`: is this installation safe and complete, and what to do if not."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, QUIET, WARN, out, print_json, safe
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import AsJson
from penstock.cli.session import settings_of


def doctor(context: typer.Context, as_json: AsJson = False) -> int:
    """Check Redis, broker, durability, clock, caches, plugins and keys; say what to do.

    Exit code 1 when there is a problem; warnings alone are 0.

    [bold]Example[/bold]

      penstock doctor
    """
    from penstock.doctor import Level, examine

    marks = {Level.OK: ("✓", GOOD), Level.WARNING: ("!", WARN), Level.PROBLEM: ("✗", BAD)}
    found = []
    for finding in examine(settings_of(context)):
        found.append(finding)
        if as_json:
            continue
        mark, style = marks[finding.level]
        out().print(
            Text.assemble((f"{mark} ", style), (f"{finding.about:<11}", QUIET), safe(finding.message))
        )
        if finding.advice:
            out().print(Text(f"{'':13}→ {safe(finding.advice)}"))
    if as_json:
        print_json([asdict(finding) for finding in found])
    return FAILED if any(finding.level is Level.PROBLEM for finding in found) else OK
