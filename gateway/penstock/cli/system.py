"""What commands ask of a running system, beside submitting calls: its catalog and its ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from penstock.cli.session import settings_of

if TYPE_CHECKING:
    from penstock_broker_config.ledger import Ledger
    from penstock_broker_config.redis_catalog import RedisCatalog
    from penstock_plugins.tool import Tool


@contextmanager
def open_catalog(context: typer.Context) -> Iterator[RedisCatalog]:
    """The shared catalog.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    from penstock_broker_config.redis_catalog import RedisCatalog
    from penstock_broker_config.store import connect_store

    settings = settings_of(context)
    with connect_store(settings) as client:
        yield RedisCatalog(client, settings.keys)


@contextmanager
def open_ledger(context: typer.Context) -> Iterator[Ledger]:
    """The ledger.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    from penstock_broker_config.ledger import Ledger
    from penstock_broker_config.store import connect_store

    settings = settings_of(context)
    with connect_store(settings) as client:
        yield Ledger(client, settings.keys, settings.retention)


def find_tool(context: typer.Context, name: str) -> Tool:
    """The tool that a name means.

    Raises:
        ToolNotFoundError: there is none, or several; the message names the candidates.
        UnreachableError: nothing is configured and nothing runs here.
    """
    from penstock_plugins.index import ToolIndex

    with open_catalog(context) as catalog:
        return ToolIndex(catalog.records()).resolve(name).tool
