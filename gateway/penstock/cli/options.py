"""Options that several commands have, and flags: they take no value, so the help shows no type."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def flag(*names: str, help: str, **more: Any) -> Any:  # typer's own name for it
    """A switch that takes no value."""
    return typer.Option(*names, help=help, metavar="", **more)


AsJson = Annotated[bool, flag("--json", help="JSON for scripts.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Seconds of one execution at most."),
]
Deadline = Annotated[
    float | None,
    typer.Option("--deadline", metavar="SECONDS", min=0.001, help="Seconds from now to the end at most."),
]
BatchKey = Annotated[
    str | None,
    typer.Option("--batch-key", metavar="KEY", help="Leave together with others of this key."),
]
Eta = Annotated[
    float | None,
    typer.Option("--eta", metavar="SECONDS", min=0.0, help="Seconds from now before which nothing runs."),
]
QueueName = Annotated[
    str | None, typer.Option("--queue", metavar="QUEUE", help="high, default, bulk or pool.NAME.")
]
