"""`penstock config`: each setting, its value, and where that came from."""

from __future__ import annotations

import orjson
import typer
from rich.text import Text

from penstock.cli.console import NAME, QUIET, print_json, print_table
from penstock.cli.options import AsJson
from penstock.cli.session import Session, settings_of


def config(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every setting with its value and its source; secrets are masked.

    Arguments come before PENSTOCK_… variables, penstock.toml, the user's config.toml and the defaults.

    [bold]Examples[/bold]

      penstock config
      PENSTOCK_LEASE_S=30 penstock config --json
    """
    from penstock_broker_config.provenance import origins

    session = context.ensure_object(Session)
    given = {"broker_url": session.broker_url, "redis_url": session.redis_url}
    found = origins(settings_of(context), given)
    if as_json:
        print_json({o.name: {"value": o.value, "source": o.source} for o in found})
        return
    print_table(
        ("setting", "value", "from"),
        [
            (
                Text(o.name, NAME),
                o.value if isinstance(o.value, str) else orjson.dumps(o.value).decode(),
                Text(o.source, QUIET if o.source == "default" else ""),
            )
            for o in found
        ],
    )
