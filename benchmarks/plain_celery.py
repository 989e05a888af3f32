"""The other side of the ratios: Celery alone, one task per call of a plain Python function.

Celery's defaults, JSON, results in the same Redis; what a team would write that has no sandbox.
"""

from __future__ import annotations

import os
import re
import unicodedata

from celery import Celery


def slug(text: str) -> dict[str, str]:
    """The same as the tool `text.slug`, in Python."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return {"slug": re.sub(r"[^a-z0-9]+", "-", folded).strip("-")}


def make_app(url: str) -> Celery:
    """An app on that broker and result store, with the one task."""
    made = Celery("plain", broker=url, backend=url, set_as_current=False)
    made.conf.update(task_serializer="json", accept_content=["json"], broker_connection_retry_on_startup=True)
    made.task(name="plain.slug")(slug)
    return made


#: What `celery -A benchmarks.plain_celery worker` runs; a client makes its own.
app = make_app(os.environ.get("BENCH_CELERY_URL", "memory://"))
