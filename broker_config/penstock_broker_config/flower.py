"""The app that Flower watches: `celery -A penstock_broker_config.flower flower`.

It is made from this process's settings when it is first asked for (PEP 562), not when this is imported.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery


@cache
def _app() -> Celery:
    # Imported here: whoever imports this package for its settings needs no app.
    from penstock_broker_config.app import create_app
    from penstock_broker_config.settings import load_settings

    return create_app(load_settings())


def __getattr__(name: str) -> Celery:
    if name == "app":
        return _app()
    raise AttributeError(name)
