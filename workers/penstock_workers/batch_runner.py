"""Answers a doorbell: claims the batch that it names, and runs it if there is something to run."""

from __future__ import annotations

import logging
from dataclasses import replace

import redis

from penstock_broker_config import crash
from penstock_broker_config.ledger import Claim, ClaimState, ClaimTerms
from penstock_workers.batch_run import BatchRun, Bench, Summary
from penstock_workers.identity import holder_is_gone, next_holder
from penstock_workers.lease import Hold
from penstock_workers.patience import patiently

logger = logging.getLogger(__name__)


class BatchRunner:
    """Runs the batches that doorbells name, one at a time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def run(self, batch_id: str) -> Summary | None:
        """Run a batch as far as it goes. None when there was nothing to do."""
        try:
            claim = self._claim(batch_id)
        except redis.ResponseError as error:
            logger.error("The ledger refuses a claim of %r: %s", batch_id, error)  # noqa: TRY400
            return None
        if claim.state is not ClaimState.GRANTED:
            return None
        crash.reach("worker.after_claim")
        hold = Hold(batch_id, claim.fence)
        self._bench.keeper.take(hold)
        try:
            return BatchRun(self._bench, claim, hold).to_the_end()
        finally:
            self._bench.keeper.drop()

    def _claim(self, batch_id: str) -> Claim:
        crash.reach("worker.before_claim")
        bench = self._bench
        terms = ClaimTerms(holder=next_holder(), lease_s=bench.lease_s, max_attempts=bench.max_attempts)
        claim = patiently(lambda: bench.ledger.claim(batch_id, terms))
        if claim.state is ClaimState.HELD and holder_is_gone(claim.holder):
            takeover = replace(terms, takeover=claim.holder)
            claim = patiently(lambda: bench.ledger.claim(batch_id, takeover))
        return claim
