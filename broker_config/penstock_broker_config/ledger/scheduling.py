"""What schedulers ask of the ledger: batches of the calls that wait, and doorbells to ring again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Overdue
from penstock_broker_config.ledger.requests import Request, Retention, text


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapTerms:
    """How many doorbells are rung again, and when."""

    #: Batches looked at in one go.
    limit: int = 200
    #: Seconds until the second ring; doubles with each, up to `backoff_cap_s`.
    backoff_s: float = 2.0
    backoff_cap_s: float = 20.0
    #: Seconds after which a doorbell is rung although its queue is deep.
    age_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchTerms:
    """How batches are formed."""

    #: Batches in one go.
    limit: int = 50
    #: Seconds after which the reaper rings, should the dispatcher not have.
    ring_after_s: float = 5.0
    #: Seconds for which a slot is kept for a batch that no worker has claimed.
    reserve_s: float = 15.0
    #: Batches of one queue that wait for a worker, beside twice as many as run.
    waiting: int = 8


class Dispatched(NamedTuple):
    """What a dispatcher does next."""

    #: Batches whose doorbells are to be rung.
    batches: list[Overdue]
    #: Seconds until something leaves. None: nothing that is known.
    next_s: float | None


class SchedulerRequests:
    """Builds the requests of schedulers."""

    def __init__(self, keys: Keys, retention: Retention) -> None:
        self._keys = keys
        self._keep = retention.args

    def dispatch(self, terms: DispatchTerms) -> Request[Dispatched]:
        return Request(
            script="dispatch",
            keys=[self._keys.open, self._keys.costs],
            args=[
                self._keys.prefix,
                terms.limit,
                int(terms.ring_after_s * 1000),
                int(terms.reserve_s * 1000),
                terms.waiting,
                *self._keep,
            ],
            read=_read_dispatched,
        )

    def reap(self, terms: ReapTerms, *, deep_queues: Sequence[str]) -> Request[list[Overdue]]:
        return Request(
            script="reap",
            keys=[self._keys.open, self._keys.jobs, self._keys.dead],
            args=[
                self._keys.prefix,
                terms.limit,
                int(terms.backoff_s * 1000),
                int(terms.backoff_cap_s * 1000),
                int(terms.age_s * 1000),
                *self._keep,
                *deep_queues,
            ],
            read=_read_overdue,
        )


def _read_dispatched(answer: list[Any]) -> Dispatched:
    wait_ms = int(answer[0])
    return Dispatched(_read_overdue(answer[1:]), None if wait_ms < 0 else wait_ms / 1000)


def _read_overdue(answer: list[Any]) -> list[Overdue]:
    return [
        Overdue(
            text(answer[i]), text(answer[i + 1]), text(answer[i + 2]), int(answer[i + 3]), text(answer[i + 4])
        )
        for i in range(0, len(answer), 5)
    ]
