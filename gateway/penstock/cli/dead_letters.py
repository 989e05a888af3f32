"""`penstock dead-letters`: calls that killed their workers and were set aside; list, show, replay, drop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import (
    BAD,
    NAME,
    NUMBER,
    QUIET,
    WARN,
    out,
    print_json,
    print_table,
    safe,
    say_note,
)
from penstock.cli.letter_choice import (
    Calls,
    Every,
    OfDigest,
    OfJob,
    OfPlugin,
    OfTenant,
    OfTool,
    Since,
    Yes,
    choose,
    confirm,
    filter_of,
)
from penstock.cli.options import AsJson, flag
from penstock.cli.replaying import Replaying
from penstock.cli.session import settings_of
from penstock.cli.system import open_ledger
from penstock.cli.words import counted, span
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks

if TYPE_CHECKING:
    from penstock_broker_config.dead_letters import DeadLetter
    from penstock_scheduler import Producer

app = typer.Typer(
    name="dead-letters",
    help="Calls that killed their workers and were set aside.",
    no_args_is_help=True,
)

_SHOWN_PARAMS = 2000
_NONE = "No dead letter matches."


@app.command("list")
def list_letters(
    context: typer.Context,
    tool: OfTool = None,
    plugin: OfPlugin = None,
    digest: OfDigest = None,
    tenant: OfTenant = None,
    job: OfJob = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="COUNT", min=1, max=100_000, help="How many at most.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, newest first.

    [bold]Examples[/bold]

      penstock dead-letters list
      penstock dead-letters list --plugin text --since 2h --json
    """
    wanted = filter_of(context, tool, plugin, digest, tenant, job, since)
    with _producer(context) as producer:
        letters = producer.dead_letters(wanted, limit=limit)
    if as_json:
        print_json([_shape(letter) for letter in letters])
        return
    if not letters:
        chosen = any((tool, plugin, digest, tenant, job, since))
        say_note(_NONE if chosen else "There are no dead letters.")
        return
    with open_ledger(context) as ledger:
        now_ms = ledger.clock_ms()
    print_table(
        ("call", "tool", "plugin", "tenant", "losses", "age"),
        [
            (
                Text(safe(letter.call_id), NUMBER),
                Text(safe(letter.tool) or "damaged", NAME if letter.header else BAD),
                letter.digest[:12],
                safe(letter.tenant),
                str(letter.attempts),
                span(max(0.0, (now_ms - letter.at_ms) / 1000)),
            )
            for letter in letters
        ],
        right=("losses", "age"),
    )


@app.command()
def show(
    context: typer.Context,
    call: Annotated[str, typer.Argument(metavar="CALL", help="Id of the call: JOB.INDEX.")],
    as_json: AsJson = False,
) -> None:
    """Show a dead letter: what was called, how often it lost its worker, and who ran it last.

    [bold]Example[/bold]

      penstock dead-letters show 7f3c….0
    """
    with _producer(context) as producer:
        letter = producer.dead_letter(call)
    if as_json:
        print_json(_shape(letter))
        return
    header = letter.header
    rows: list[tuple[str, str | Text]] = [
        ("call", Text(safe(letter.call_id), NUMBER)),
        ("tool", Text.assemble((safe(letter.tool), NAME), f"  ({letter.digest[:12]})")),
        ("lost", f"{counted(letter.attempts, 'worker')}, the last one {safe(letter.holder)}"),
        ("set aside", datetime.fromtimestamp(letter.at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")),
    ]
    if header is None:
        rows.append(("damaged", Text("its header cannot be read: it can only be dropped", BAD)))
    else:
        rows.append(("tenant", safe(header.tenant)))
        rows.append(("queue", safe(header.queue)))
        if header.timeout_s is not None:
            rows.append(("timeout", span(header.timeout_s)))
    for name, value in rows:
        out().print(Text.assemble((f"{name:<10}", QUIET), value))
    more = len(letter.params) - _SHOWN_PARAMS
    out().print(Text.assemble((f"{'params':<10}", QUIET), safe(letter.params[:_SHOWN_PARAMS])))
    if more > 0:
        say_note(f"… and {more:,} more characters (see --json)")


@app.command()
def replay(
    context: typer.Context,
    calls: Calls = None,
    tool: OfTool = None,
    plugin: OfPlugin = None,
    digest: OfDigest = None,
    tenant: OfTenant = None,
    job: OfJob = None,
    since: Since = None,
    every: Every = False,
    latest: Annotated[
        bool, flag("--latest", help="With the plugin's highest release, not the bundle it died with.")
    ] = False,
    run_again: Annotated[
        bool, flag("--run-again", help="Also tools that are not idempotent: what they did, they do again.")
    ] = False,
    wait: Annotated[bool, flag("--wait", help="Wait for the results; exit code 1 when one failed.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Submit dead letters once more, each as a job of its own. A letter goes when its job is accepted.

    [bold]Examples[/bold]

      penstock dead-letters replay 7f3c….0 --wait
      penstock dead-letters replay --plugin text --latest
    """
    choice = choose(calls, filter_of(context, tool, plugin, digest, tenant, job, since), every=every)
    replaying = Replaying(wait=wait, as_json=as_json)
    with _producer(context, replaying) as producer:
        chosen = choice.find(producer)
        confirm(choice, len(chosen), "replayed", yes=yes)
        if not chosen:
            say_note(_NONE)
        return replaying.run(producer, chosen, latest=latest, run_again=run_again)


@app.command()
def drop(
    context: typer.Context,
    calls: Calls = None,
    tool: OfTool = None,
    plugin: OfPlugin = None,
    digest: OfDigest = None,
    tenant: OfTenant = None,
    job: OfJob = None,
    since: Since = None,
    every: Every = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget dead letters. The results of their calls (QUARANTINED) stay as long as their jobs do.

    [bold]Examples[/bold]

      penstock dead-letters drop 7f3c….0
      penstock dead-letters drop --plugin text --yes
    """
    choice = choose(calls, filter_of(context, tool, plugin, digest, tenant, job, since), every=every)
    with _producer(context) as producer:
        chosen = choice.find(producer)
        confirm(choice, len(chosen), "dropped", yes=yes)
        dropped = producer.drop_dead_letters(chosen)
    if as_json:
        print_json({"dropped": dropped})
    elif not chosen:
        say_note(_NONE)
    else:
        out().print(Text.assemble(("Dropped ", WARN), counted(dropped, "dead letter")))


@contextmanager
def _producer(context: typer.Context, hooks: Hooks = NO_HOOKS) -> Iterator[Producer]:
    from penstock_scheduler import Producer

    with Producer(settings_of(context), hooks=hooks) as producer:
        yield producer


def _shape(letter: DeadLetter) -> dict[str, Any]:
    header = letter.header
    return {
        "call": letter.call_id,
        "job": letter.job_id,
        "index": letter.index,
        "tool": letter.tool,
        "plugin_digest": letter.digest,
        "tenant": letter.tenant,
        "queue": header.queue if header else "",
        "timeout_s": header.timeout_s if header else None,
        "attempts": letter.attempts,
        "set_aside_ms": letter.at_ms,
        "last_holder": letter.holder,
        "params": letter.params,
        "damaged": header is None,
    }
