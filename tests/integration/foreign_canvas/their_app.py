"""An app as any user has one: nothing in it knows of Penstock. Run as a program, it is its worker."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import redis
from celery import Celery


def make(broker: str, backend: str) -> Celery:
    """The app."""
    app = Celery("theirs", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)

    @app.task(name="theirs.sentence", shared=False)
    def sentence(words: int) -> dict[str, str]:
        return {"text": " ".join(["word"] * words)}

    @app.task(name="theirs.words", shared=False)
    def words(stats: dict[str, Any]) -> int:
        return int(stats["words"])

    @app.task(name="theirs.count", shared=False)
    def count(number: int) -> int:
        with redis.Redis.from_url(backend) as client:
            client.incr("theirs:counted")
        return number

    @app.task(name="theirs.total", shared=False)
    def total(parts: list[Any]) -> int:
        return sum(part["words"] if isinstance(part, dict) else part for part in parts)

    @app.task(name="theirs.texts", shared=False)
    def texts(parts: list[Any]) -> dict[str, str]:
        return {"text": " ".join(str(part) for part in parts)}

    @app.task(name="theirs.no_json", shared=False)
    def no_json(kind: str) -> dict[str, Any]:
        # Celery's own JSON has all of these.
        deep: Any = "x"
        for _ in range(300):
            deep = [deep]
        return {"text": "x", "more": {"decimal": Decimal("1.5"), "large": 2**70, "deep": deep}[kind]}

    @app.task(name="theirs.failed", shared=False)
    def failed(task_id: str) -> None:
        with redis.Redis.from_url(backend) as client:
            client.rpush("theirs:failed", task_id)

    return app


if __name__ == "__main__":
    make(os.environ["THEIR_BROKER"], os.environ["THEIR_BACKEND"]).worker_main(
        ["worker", "--pool", "solo", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    )
