"""The workers' side of the blocking ledger: leases and results."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Claim, Commit, RecordKind
from penstock_broker_config.ledger.following import Committed, commit_and_claim
from penstock_broker_config.ledger.requests import Bounds, Retention
from penstock_broker_config.ledger.scripted import Scripted
from penstock_broker_config.ledger.working import ClaimTerms, WorkerRequests

#: What workers run.
WORKER_SCRIPTS = ("claim", "renew", "commit", "commit_claim", "release")


class WorkerSide(Scripted):
    """What workers do."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(client, keys, retention, bounds)
        self._working = WorkerRequests(keys, self._retention)

    def claim(self, batch_id: str, terms: ClaimTerms) -> Claim:
        """Take the lease of a batch, if it may be run now."""
        return self._run(self._working.claim(batch_id, terms))

    def renew(self, batch_id: str, *, fence: int, lease_s: float, position: int | None = None) -> Commit:
        """Keep the lease while a call takes long; `position` says which one of the batch."""
        return self._run(self._working.renew(batch_id, fence=fence, lease_s=lease_s, position=position))

    def commit(
        self,
        batch_id: str,
        records: Sequence[tuple[RecordKind, bytes]],
        *,
        fence: int,
        position: int,
        lease_s: float,
        cost_field: str = "",
        cost_us: float | None = None,
        turn_us: float | None = None,
        pause_s: float | None = None,
    ) -> Commit:
        """Record the results of the next calls of a batch, all or none.

        Args:
            batch_id: the batch.
            records: for each call, what is recorded and its result record.
            fence: from the claim.
            position: of the first record in the batch (0-based).
            lease_s: the lease goes on for this long.
            cost_field: `digest:tool`, where the measured cost is kept.
            cost_us: measured microseconds of one call.
            turn_us: what one call is charged for in turns, in about the same unit. None: `cost_us`.
            pause_s: seconds for which nothing new starts under the batch's limits.
        """
        return self._run(
            self._working.commit(
                batch_id,
                records,
                fence=fence,
                position=position,
                lease_s=lease_s,
                cost_field=cost_field,
                cost_us=cost_us,
                turn_us=turn_us,
                pause_s=pause_s,
            )
        )

    def commit_and_claim(
        self,
        batch_id: str,
        records: Sequence[tuple[RecordKind, bytes]],
        *,
        fence: int,
        position: int,
        cost_field: str = "",
        cost_us: float | None = None,
        turn_us: float | None = None,
        pause_s: float | None = None,
        terms: ClaimTerms,
        queues: Sequence[str],
    ) -> Committed:
        """Record the last calls of a batch, and take the batch that is next in its queue, if one may be.

        Sent again under the same holder's name, it answers with the batch that it took before.

        Args:
            terms: who takes the next batch (a new name for each claim); the lease is for both batches.
            queues: full names of all queues that the worker serves. No batch is taken while one of the others
                has something waiting.
            batch_id, records, fence, position, cost_field, cost_us, turn_us, pause_s: see `commit`.
        """
        commit = self._working.commit(
            batch_id,
            records,
            fence=fence,
            position=position,
            lease_s=terms.lease_s,
            cost_field=cost_field,
            cost_us=cost_us,
            turn_us=turn_us,
            pause_s=pause_s,
        )
        return self._run(commit_and_claim(self.keys, commit, self._working.claim("", terms), queues))

    def release(self, batch_id: str, *, fence: int) -> Commit:
        """Give the lease back; nobody is charged."""
        return self._run(self._working.release(batch_id, fence=fence))
