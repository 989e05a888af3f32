"""Turns of one scheduler's collection, in a process of their own: it looks once a minute, a test now."""

from __future__ import annotations

import sys

from penstock_broker_config import crash
from penstock_broker_config.settings import load_settings
from penstock_broker_config.store import connect_store
from penstock_broker_config.values import open_values
from penstock_scheduler.collecting import Collecting


def main(turns: int) -> None:
    """Take so many turns, one after the other."""
    settings = load_settings()
    crash.arm(settings.crash_at)
    with connect_store(settings) as client:
        values = open_values(client, settings) if settings.values_url else None
        collecting = Collecting(client, settings.keys, values=values)
        for _ in range(turns):
            client.delete(settings.keys.catalog_collected)  # as if ten minutes had passed
            collecting.step()


if __name__ == "__main__":
    main(int(sys.argv[1]))
