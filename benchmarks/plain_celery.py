"""Celery alone, one task per call of a plain Python function.

Celery's defaults, JSON, results in the same Redis; what a team would write that has no sandbox.
"""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.plain import slug


def make_app(url: str) -> Celery:
    """An app on that broker and result store, with the one task."""
    made = Celery("plain", broker=url, backend=url, set_as_current=False)
    made.conf.update(task_serializer="json", accept_content=["json"], broker_connection_retry_on_startup=True)
    made.task(name="plain.slug")(slug)
    return made


#: What `celery -A benchmarks.plain_celery worker` runs; a client makes its own.
app = make_app(os.environ.get("BENCH_CELERY_URL", "memory://"))
