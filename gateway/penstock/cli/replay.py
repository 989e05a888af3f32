"""`penstock replay`, and `penstock dead-letters export`, which writes what it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, WARN, err, out, print_json, print_value, safe, say_note
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import AsJson, flag
from penstock.cli.session import settings_of
from penstock.cli.words import size

if TYPE_CHECKING:
    from penstock_workers.reproduction.case import Frozen, Reproduction
    from penstock_workers.reproduction.run import Ending


def export(
    context: typer.Context,
    call: Annotated[str, typer.Argument(metavar="CALL", help="Id of the call: JOB.INDEX.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write; CALL.zip.")
    ] = None,
    force: Annotated[bool, flag("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a dead letter with its plugin and its limits into one file, which `penstock replay` runs.

    It holds the params as they were sent. Values of environment variables, keys and signatures are not in it.

    [bold]Example[/bold]

      penstock dead-letters export 7f3c….0 -o crash.zip
    """
    from penstock_broker_config.envelope import Signer
    from penstock_broker_config.hosts import find_host, host_of
    from penstock_broker_config.redis_catalog import RedisCatalog
    from penstock_broker_config.store import connect_store
    from penstock_broker_config.value_references import is_reference
    from penstock_broker_config.values import open_values
    from penstock_scheduler import Producer
    from penstock_scheduler.dead_letters import check_letter
    from penstock_workers.reproduction.file import write_reproduction
    from penstock_workers.reproduction.making import make_reproduction

    path = output or Path(f"{call.replace('/', '_')}.zip")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already: say --force, or another name with -o")
    settings = settings_of(context)
    with Producer(settings) as producer:
        letter = producer.dead_letter(call)
    header = check_letter(letter, Signer(settings.signing_secret()))
    with connect_store(settings) as client:
        if is_reference(letter.params.encode()):  # they are lost: this says so
            open_values(client, settings).get(letter.job_id, letter.params.encode())
        bundle = RedisCatalog(client, settings.keys).fetch(header.digest)
        host = find_host(client, settings.keys, host_of(letter.holder))
    reproduction = make_reproduction(letter, header, bundle, settings=settings, host=host)
    content = write_reproduction(reproduction)
    # Params may be private: nobody else on this machine gets to read them.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    out().print(Text.assemble((str(path), NAME), f"  {size(len(content))}"))
    if host is None:
        say_note("Its worker's host is not remembered: limits and versions are those of this machine.")


def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `penstock dead-letters export` wrote.")],
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="Value of a variable that the call could see."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Make random numbers and the clock repeat.")
    ] = None,
    at_s: Annotated[
        float | None,
        typer.Option("--at", metavar="SECONDS", min=0, help="The clock then, in seconds since 1970."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Run a call that killed its worker once more: here, in a process of its own, with no broker or Redis.

    It has the limits and capabilities it had, as far as this machine's own settings allow; native code is
    compiled here. Exit code 0: the call succeeded. 1: it failed, or killed its process again, and how.

    [bold]Examples[/bold]

      penstock replay crash.zip
      git bisect run penstock replay crash.zip
    """
    from penstock_workers.artifacts.identity import wasmtime_version
    from penstock_workers.reproduction.file import read_file, read_reproduction
    from penstock_workers.reproduction.run import Here, Manner
    from penstock_workers.reproduction.run import replay as run_again  # runs guests: needs wasmtime

    wasmtime_version()  # without it nothing runs here
    values = _values(env or [])
    content = read_file(file)
    reproduction = read_reproduction(content)
    settings = settings_of(context)
    here = Here(
        cache_dir=settings.cache_dir,
        policy=settings.operator_policy(reproduction.bundle.manifest.name),
        env=values,
        frozen=_frozen(seed, at_s),
    )
    notes = _notes(context, reproduction, here)
    if not as_json:
        for note in notes:
            say_note(safe(note))
    ending = run_again(reproduction, content, here)
    if as_json:
        print_json(_shape(reproduction, ending, notes))
    else:
        _show(ending)
    return OK if ending.manner is Manner.SUCCEEDED else FAILED


def _values(pairs: list[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"--env {pair}: say NAME=VALUE")
        values[name] = value
    return values


def _frozen(seed: int | None, at_s: float | None) -> Frozen | None:
    from penstock_workers.reproduction.case import Frozen

    if seed is None and at_s is None:
        return None
    return Frozen(seed=seed or 0, at_s=time.time() if at_s is None else at_s)


def _notes(context: typer.Context, reproduction: Reproduction, here: Any) -> list[str]:
    """What is other here than it was there, and may be why a replay ends otherwise."""
    from penstock_workers.reproduction.making import differences, host_record
    from penstock_workers.reproduction.run import policy_here

    case = reproduction.case
    policy = policy_here(reproduction, here)
    notes = differences(case, host_record(settings_of(context)))
    for name, figure in case.limits.items():
        now = getattr(policy.limits, name)
        if figure != now:
            notes.append(f"{name}: {figure} there, {now} here ([limits] of this machine's settings)")
    missing = sorted(set(case.capabilities) - policy.capabilities)
    if missing:
        notes.append(f"not granted here: {', '.join(missing)} (capabilities of this machine's settings)")
    unset = sorted(set(case.env) - set(policy.env))
    if unset:
        notes.append(f"without a value here: {', '.join(unset)} (--env NAME=VALUE)")
    return notes


def _shape(reproduction: Reproduction, ending: Ending, notes: list[str]) -> dict[str, Any]:
    case = reproduction.case
    return {
        "call": case.call,
        "tool": case.tool,
        "plugin_digest": case.plugin_digest,
        "outcome": ending.manner.value,
        "message": ending.words,
        "signal": ending.signal,
        "result": ending.result,
        "differences": notes,
    }


def _show(ending: Ending) -> None:
    from penstock_workers.reproduction.run import Manner

    if ending.manner is Manner.SUCCEEDED and ending.result is not None:
        print_value(ending.result.get("data"))
        err().print(Text("The call succeeded: what ended its worker did not happen here.", GOOD))
    elif ending.manner is Manner.FAILED and ending.result is not None:
        error = ending.result["error"]
        err().print(Text.assemble((str(error["code"]), BAD), f" {safe(str(error['message']))}"))
        err().print(
            Text("The call failed, and its process lived on: its worker's death did not repeat.", WARN)
        )
    else:
        err().print(Text.assemble((ending.manner.value, BAD), f"  {safe(ending.words)}"))
