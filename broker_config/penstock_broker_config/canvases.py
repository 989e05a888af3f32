"""Canvases of others that wait for runs of ours: what goes on at a run's end is kept until it has gone on.

The message that began a run is sent again at its end: it finds the result, and Celery does the rest (chain,
chord, group, callbacks, the result itself) as it would for any task.
"""

from __future__ import annotations

from typing import Any, cast

import orjson
import redis
from celery import Celery

from penstock_broker_config.envelope import Signer
from penstock_broker_config.foreign import after_context
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.requests import Request
from penstock_broker_config.ledger.scripted import Scripted

#: Seconds in which whoever ended a run goes on by himself; then its message is sent again.
GRACE_S = 5.0
#: Seconds that one process has for going on, before another one may.
TURN_S = 5.0


class Canvases(Scripted):
    """What waits for runs. Every method may be called again when its answer got lost."""

    def __init__(self, client: redis.Redis, keys: Keys, signer: Signer) -> None:
        super().__init__(client, keys)
        self._signer = signer

    def keep(self, run: str, message: dict[str, Any]) -> None:
        """Keep the message of a run that is to begin; nothing, when the run is there."""
        blob = self._signer.seal(after_context(run), orjson.dumps(message))
        self._run(
            Request(
                script="keep_canvas",
                keys=[self.keys.canvases],
                args=[self.keys.prefix, run, blob, int(GRACE_S * 1000)],
                read=bool,
            )
        )

    def take(self, run: str) -> bool:
        """Whether the caller is to go on with what waits for a run that has ended: one does, once."""
        return self._run(
            Request(
                script="take_canvas",
                keys=[self.keys.after(run), self.keys.after_turn(run)],
                args=[int(TURN_S * 1000)],
                read=bool,
            )
        )

    def settle(self, run: str) -> None:
        """All that waited for the run has been sent."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self.keys.after(run))
            pipe.zrem(self.keys.canvases, run)
            pipe.execute()

    def send(self, app: Celery, run: str, sealed: bytes | None = None) -> bool:
        """Send the message of a run again; False when nothing waits for it.

        Raises:
            EnvelopeError: what is kept was not sealed with our key.
            one of `RING_ERRORS`: the broker did not take it.
        """
        if sealed is None:
            sealed = cast("bytes | None", self._redis.get(self.keys.after(run)))
            self._redis.zadd(self.keys.canvases, {run: self._now_ms() + GRACE_S * 1000}, xx=True)
        if sealed is None:
            return False
        message = orjson.loads(self._signer.unseal(after_context(run), sealed))
        app.send_task(message["task"], message["args"], message["kwargs"], **message["options"])
        return True

    def due(self, *, count: int = 100) -> list[tuple[str, bytes]]:
        """Runs that have ended, or never begun, and whose canvas has not gone on; each with its message."""
        return self._run(
            Request(
                script="due_canvases",
                keys=[self.keys.canvases],
                args=[self.keys.prefix, count, int(GRACE_S * 1000)],
                read=lambda found: [
                    (run.decode(), sealed) for run, sealed in zip(found[::2], found[1::2], strict=True)
                ],
            )
        )

    def _now_ms(self) -> float:
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000
