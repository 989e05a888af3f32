"""`penstock limits`: how many calls of a key run at once and how many start in a second, over all hosts."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import GOOD, NAME, QUIET, WARN, out, print_json, print_table, safe
from penstock.cli.options import AsJson, flag
from penstock.cli.system import open_ledger
from penstock.cli.words import seconds_of, span

if TYPE_CHECKING:
    from penstock_broker_config.ledger import LimitState

app = typer.Typer(name="limits", invoke_without_command=True, help="See and set limits while calls run.")

_MAX_KEY_CHARS = 300
_MOST, _MOST_DIGITS = 1e9, 10
#: The last year of a pause: later ones are no dates everywhere on earth.
_LAST_YEAR = 9000

Key = Annotated[str, typer.Argument(metavar="KEY", help="The limit's key; tool:PLUGIN.TOOL, tenant:NAME.")]


@app.callback()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the limits in use, and set them while calls run.

    A limit's key comes from the plugin's manifest. Every tool has the key [bold]tool:PLUGIN.TOOL[/bold] and
    every tenant [bold]tenant:NAME[/bold], which hold once they are set.

    [bold]Example[/bold]

      penstock limits
      penstock limits set tool:web.fetch --concurrency 4 --rate 10/s
    """
    if context.invoked_subcommand is not None:
        return
    with open_ledger(context) as ledger:
        states = ledger.limits()
    if as_json:
        print_json([_shape(state) for state in states])
        return
    if not states:
        out().print(
            Text("No limit is set or in use. Set one: penstock limits set KEY --concurrency 4", QUIET)
        )
        return
    print_table(
        ("key", "at once", "running", "waiting", "rate", "burst", "weight", "paused", "set by"),
        [
            (
                Text(safe(state.key), NAME),
                _number(state.concurrency),
                f"{state.running:,}",
                Text(f"{state.waiting:,}", WARN if state.waiting else ""),
                "any" if state.rate_per_s is None else f"{state.rate_per_s:g}/s",
                "" if state.burst is None else f"{state.burst:g}",
                "" if state.weight == 1 else f"{state.weight:g}",
                _pause(state),
                _who(state),
            )
            for state in states
        ],
        right=("at once", "running", "waiting", "rate", "burst", "weight"),
    )


@app.command("set")
def change(
    context: typer.Context,
    key: Key,
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", "-c", metavar="N", help="Batches at once; none: any number."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", "-r", metavar="RATE", help="Calls: 10/s, 600/min, 5000/h, or none."),
    ] = None,
    burst: Annotated[
        str | None, typer.Option("--burst", metavar="N", help="Calls that may start at once after a pause.")
    ] = None,
    pause_until: Annotated[
        str | None,
        typer.Option(
            "--pause-until", metavar="WHEN", help="Start nothing until 2026-12-24T18:00, or for 15m."
        ),
    ] = None,
    resume: Annotated[bool, flag("--resume", help="End a pause now.")] = False,
    weight: Annotated[
        float | None,
        typer.Option(
            "--weight",
            metavar="W",
            min=0.001,
            max=1e6,
            help="Share of a tenant, or of a batch key within its tenant; 1 by default.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a limit; what runs goes on, what has not begun feels it at once.

    [bold]Example[/bold]

      penstock limits set api.example.com --concurrency 4 --rate 10/s
      penstock limits set tool:web.fetch --pause-until 15m
      penstock limits set tenant:acme --weight 2
    """
    from penstock_broker_config import crash
    from penstock_broker_config.ledger import LimitChange

    _check_key(key)
    if resume and pause_until is not None:
        raise typer.BadParameter("give --pause-until or --resume, not both")
    if weight is not None and key.startswith("tool:"):
        raise typer.BadParameter("--weight is for tenant:NAME or a batch key; tools take no turns")
    pause_s, until_ms = _moment(pause_until)
    given = LimitChange(
        concurrency=_count("--concurrency", concurrency, least=0),
        rate_per_s=_rate(rate),
        burst=_count("--burst", burst, least=1),
        paused_until_ms=0 if resume else until_ms,
        weight=weight,
    )
    if given == LimitChange() and pause_s is None:
        raise typer.BadParameter(
            "say what to change: --concurrency, --rate, --burst, --pause-until, --weight"
        )
    with open_ledger(context) as ledger:
        if pause_s is not None:
            given = replace(given, paused_until_ms=ledger.clock_ms() + int(pause_s * 1000))
        crash.reach("operator.before_limit")
        ledger.change_limit(key, given)
        crash.reach("operator.after_limit")
        state = next(state for state in ledger.limits() if state.key == key)
    if as_json:
        print_json(_shape(state))
    else:
        out().print(Text.assemble((safe(key), NAME), "  ", _sentence(state)))


@app.command()
def clear(context: typer.Context, key: Key, as_json: AsJson = False) -> None:
    """Take back what was set; what the plugin declares holds again.

    [bold]Example[/bold]

      penstock limits clear tool:web.fetch
    """
    from penstock_broker_config import crash

    _check_key(key)
    with open_ledger(context) as ledger:
        crash.reach("operator.before_clear")
        left = ledger.clear_limit(key)
        crash.reach("operator.after_clear")
    if as_json:
        print_json({"key": key, "declared": left})
    else:
        what = "as the plugin declares it" if left else "no limit"
        out().print(Text.assemble((safe(key), NAME), f"  {what}"))


def _check_key(key: str) -> None:
    if not 0 < len(key) <= _MAX_KEY_CHARS or any(character in key for character in "\n\r\0"):
        raise typer.BadParameter(f"a key has 1 to {_MAX_KEY_CHARS} characters, and no line breaks")


def _count(name: str, text: str | None, *, least: int) -> float | None:
    if text is None:
        return None
    if text.lower() == "none":
        return math.inf
    digits = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    if not digits or not least <= int(text) <= _MOST:
        raise typer.BadParameter(
            f"{name} must be a whole number from {least} to {_MOST:,.0f}, or none; got {text[:80]!r}"
        )
    return float(text)


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    if text.lower() == "none":
        return math.inf
    from penstock_plugins.delivery import parse_rate

    try:
        return parse_rate(text)
    except ValueError as error:
        raise typer.BadParameter(f"--rate: {error}") from None


def _moment(text: str | None) -> tuple[float | None, int | None]:
    """Seconds from now, which Redis's clock says; or a date and time, as milliseconds since 1970."""
    if text is None:
        return None, None
    seconds = seconds_of(text)
    if seconds is not None:
        return seconds, None
    try:
        moment = datetime.fromisoformat(text)
        until_s = moment.astimezone().timestamp() if moment.year <= _LAST_YEAR else None
    except (ValueError, OverflowError, OSError):
        until_s = None
    if until_s is None:
        raise typer.BadParameter(
            f"--pause-until must be like 2026-12-24T18:00 or 15m (from now); got {text[:80]!r}"
        )
    return None, int(until_s * 1000)


def _shape(state: LimitState) -> dict[str, Any]:
    return asdict(state)


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:,.0f}"


def _who(state: LimitState) -> str:
    """Who has said what holds. Nobody: a plugin left it to the operator, who has set nothing."""
    if state.set_by_operator:
        return "the operator"
    return "" if state.concurrency is None and state.rate_per_s is None else "the plugin"


def _pause(state: LimitState) -> Text:
    if state.paused_for_ms is None:
        return Text("")
    return Text(f"for {span(state.paused_for_ms / 1000)}", WARN)


def _sentence(state: LimitState) -> Text:
    parts = [
        f"{_number(state.concurrency)} at once",
        "any rate" if state.rate_per_s is None else f"{state.rate_per_s:g} calls/s",
    ]
    if state.weight != 1:
        parts.append(f"weight {state.weight:g}")
    text = Text(", ".join(parts), GOOD)
    if state.paused_for_ms is not None:
        text.append(", paused ").append_text(_pause(state))
    return text
