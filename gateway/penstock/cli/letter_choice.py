"""Which dead letters a command is about: named ones, those of a filter, or all; and whether it is sure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.exits import FAILED
from penstock.cli.options import flag
from penstock.cli.system import open_ledger
from penstock.cli.words import counted, seconds_of

if TYPE_CHECKING:
    from penstock_broker_config.dead_letters import LetterFilter
    from penstock_scheduler import Producer

Calls = Annotated[list[str] | None, typer.Argument(metavar="[CALL]...", help="Ids of calls: JOB.INDEX.")]
OfTool = Annotated[
    str | None, typer.Option("--tool", metavar="TOOL", help="Only this tool's: plugin.tool, or tool.")
]
OfPlugin = Annotated[str | None, typer.Option("--plugin", metavar="NAME", help="Only this plugin's.")]
OfDigest = Annotated[
    str | None, typer.Option("--digest", metavar="HEX", help="Only of the bundle whose digest begins so.")
]
OfTenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant's.")]
OfJob = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="Only this job's; of a run, its steps' calls.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Set aside since then: 2h, 3d, or 2026-11-21T12:00."),
]
Every = Annotated[bool, flag("--all", help="All of them.")]
Yes = Annotated[bool, flag("--yes", "-y", help="Do not ask.")]


def filter_of(
    context: typer.Context,
    tool: str | None,
    plugin: str | None,
    digest: str | None,
    tenant: str | None,
    job: str | None,
    since: str | None,
) -> LetterFilter:
    from penstock_broker_config.dead_letters import LetterFilter

    return LetterFilter(
        tool=tool, plugin=plugin, digest=digest, tenant=tenant, job=job, since_ms=_since_ms(context, since)
    )


def _since_ms(context: typer.Context, text: str | None) -> int | None:
    """A moment in milliseconds since 1970; so long ago by Redis's clock, by which letters are set aside."""
    if text is None:
        return None
    ago_s = seconds_of(text)
    if ago_s is not None:
        with open_ledger(context) as ledger:
            return ledger.clock_ms() - int(ago_s * 1000)
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise typer.BadParameter(f"--since {text}: say 90s, 15m, 2h or 3d, or a date and time") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which letters a command is about: named ones, or those of a filter."""

    calls: tuple[str, ...]
    wanted: LetterFilter

    def find(self, producer: Producer) -> list[str]:
        """The ids of the calls, the oldest first; named ones in their order, and each must be there."""
        if self.calls:
            for call in self.calls:
                producer.dead_letter(call)  # raises when there is none
            return list(dict.fromkeys(self.calls))
        # The oldest first, as they were set aside.
        return [letter.call_id for letter in reversed(producer.dead_letters(self.wanted, limit=None))]


def choose(calls: list[str] | None, wanted: LetterFilter, *, every: bool) -> Choice:
    """Exactly one of the three: all of them by mistake would be many."""
    from penstock_broker_config.dead_letters import LetterFilter

    filtered = wanted != LetterFilter()
    if sum((bool(calls), filtered, every)) != 1:
        raise typer.BadParameter("name calls, or say which by a filter such as --plugin, or say --all")
    return Choice(calls=tuple(calls or ()), wanted=wanted)


def confirm(choice: Choice, count: int, what: str, *, yes: bool) -> None:
    """What was not named one by one is asked for; where nobody can be asked, it has to be said."""
    if choice.calls or yes or count == 0:
        return
    letters = counted(count, "dead letter")
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{letters} would be {what}: say --yes")
    try:
        sure = typer.confirm(f"{letters} will be {what}. Go on?", err=True)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    if not sure:
        raise typer.Exit(FAILED)
