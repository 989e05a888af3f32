"""The schedulers' and the operator's side of the blocking ledger: batches, doorbells, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Overdue
from penstock_broker_config.ledger.limits import (
    LimitChange,
    LimitRequests,
    LimitState,
    read_limit,
    weighed,
)
from penstock_broker_config.ledger.requests import Bounds, Retention
from penstock_broker_config.ledger.scheduling import (
    Dispatched,
    DispatchTerms,
    ReapTerms,
    SchedulerRequests,
)
from penstock_broker_config.ledger.scripted import Scripted


class SchedulerSide(Scripted):
    """What schedulers do, and operators."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(client, keys, retention, bounds)
        self._scheduling = SchedulerRequests(keys, self._retention)
        self._limits = LimitRequests(keys)

    def reap(self, terms: ReapTerms, *, deep_queues: Sequence[str] = ()) -> list[Overdue]:
        """End what has expired, and say which doorbells to ring again."""
        return self._run(self._scheduling.reap(terms, deep_queues=deep_queues))

    def dispatch(self, terms: DispatchTerms) -> Dispatched:
        """Form batches of what may leave, and say which doorbells to ring."""
        return self._run(self._scheduling.dispatch(terms))

    def change_limit(self, key: str, change: LimitChange) -> None:
        """Set figures of a limit; they hold from the next batch on."""
        self._run(self._limits.change(key, change))

    def clear_limit(self, key: str) -> bool:
        """Take back what the operator has set; False when nothing is left of the limit."""
        return bool(self._run(self._limits.clear(key)))

    def limits(self, count: int = 1000) -> list[LimitState]:
        """The limits in use and those that the operator has set, by name."""
        keys, client = self.keys, self._redis
        used = cast("list[bytes]", client.zrevrange(keys.limits, 0, count - 1))
        own = cast("set[bytes]", client.smembers(keys.operator_limits))
        names = sorted(name.decode(errors="replace") for name in {*used, *own})
        now_ms = self.clock_ms()
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(keys.limit(name))
                pipe.sismember(keys.operator_limits, name)
                # A slot counts up to its lease's last millisecond, as for the scripts.
                pipe.zcount(keys.limit_slots(name), f"({now_ms}", "+inf")
                pipe.zcard(keys.limit_waiters(name))
                pipe.hget(keys.weights, weighed(name))
            answers = pipe.execute()
        return [read_limit(name, answers[5 * i : 5 * i + 5], now_ms) for i, name in enumerate(names)]

    def clock_ms(self) -> int:
        """Redis's clock, which all times of the ledger are by."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000
