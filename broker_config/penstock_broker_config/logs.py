"""Logs of Penstock's processes: a sentence and fields, one event a line, for people or as JSON.

Params and results of tools are never logged. Text that came from a guest is escaped before it gets here.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(*, level: str = "INFO", as_json: bool | None = None) -> None:
    """Send this process's logs to standard error.

    Args:
        level: of our own loggers; Celery's and others' are shown from WARNING on.
        as_json: one JSON object a line. None: when standard error is no terminal, still text.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if as_json:
        renderer = structlog.processors.JSONRenderer()
        shared.append(structlog.processors.format_exc_info)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            # The default shows local variables with a traceback, and those may be params, results or a key.
            exception_formatter=structlog.dev.plain_traceback,
        )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("penstock", "penstock_workers", "penstock_scheduler", "penstock_broker_config"):
        logging.getLogger(name).setLevel(level.upper())
