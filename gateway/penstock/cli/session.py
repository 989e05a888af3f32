"""What every command shares: the options before its name, and the settings that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from penstock_broker_config.settings import Settings


@dataclass(slots=True, kw_only=True)
class Session:
    """One run of the command line. Filled by the root command, read by the others."""

    #: Show the traceback of an error.
    debug: bool = False
    broker_url: str | None = None
    redis_url: str | None = None


def settings_of(context: typer.Context, **arguments: Any) -> Settings:
    """The settings of this run; `arguments` that are not None come first.

    Raises:
        ConfigurationError: an unknown key or a bad value; names the key and its source.
    """
    from penstock_broker_config import crash  # slow to load, with the settings: not for `--help`
    from penstock_broker_config.settings import load_settings

    session = context.ensure_object(Session)
    settings = load_settings(broker_url=session.broker_url, redis_url=session.redis_url, **arguments)
    crash.arm(settings.crash_at)
    return settings
