"""Answers a doorbell: claims the batch that it names, runs it, and goes on while batches follow.

The next batch of the queue comes with the commit that ends the one before. Its own doorbell, when it is
heard, finds that there is nothing to do.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import redis

from penstock_broker_config import crash
from penstock_broker_config.ledger import Claim, ClaimState, ClaimTerms
from penstock_workers.batch_run import BatchRun
from penstock_workers.bench import Bench, Summary
from penstock_workers.identity import holder_is_gone
from penstock_workers.lease import Hold
from penstock_workers.patience import patiently
from penstock_workers.recording import Following

logger = logging.getLogger(__name__)


class BatchRunner:
    """Runs the batches that doorbells name, one at a time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def run(self, batch_id: str) -> Summary | None:
        """Run a batch as far as it goes. None when there was nothing to do."""
        try:
            claim, asked_at = self._claim(batch_id)
        except redis.ResponseError as error:
            logger.error("The ledger refuses a claim of %r: %s", batch_id, error)  # noqa: TRY400
            return None
        if claim.state is not ClaimState.GRANTED:
            return None
        crash.reach("worker.after_claim")
        follow_until = time.monotonic() + self._bench.chain_s
        done, following = self._run_claimed(batch_id, claim, asked_at, follow_until)
        while following is not None:
            crash.reach("worker.after_next_claim")
            more, following = self._run_claimed(*following, follow_until)
            done = done.and_then(more)
        return done

    def run_within(self, batch_id: str, flow: Hold) -> Summary | None:
        """Run a batch for the sake of a flow, whose lease is kept meanwhile; no other batch follows it.

        Raises:
            redis.ResponseError: the ledger refuses the claim.
        """
        claim, asked_at = self._claim(batch_id)
        if claim.state is not ClaimState.GRANTED:
            return None
        crash.reach("worker.after_claim")
        return self._run_claimed(batch_id, claim, asked_at, 0.0, flow)[0]

    def _run_claimed(
        self, batch_id: str, claim: Claim, asked_at: float, follow_until: float, flow: Hold | None = None
    ) -> tuple[Summary, Following | None]:
        hold = Hold(batch_id, claim.fence, asked_at, limited=claim.limited, within=flow)
        self._bench.keeper.take(hold)
        try:
            run = BatchRun(self._bench, claim, hold, follow_until=follow_until)
            return run.to_the_end(), run.following
        finally:
            self._bench.keeper.drop()
            if flow is not None:
                self._bench.keeper.take(flow)

    def _claim(self, batch_id: str) -> tuple[Claim, float]:
        crash.reach("worker.before_claim")
        terms = self._bench.next_terms()
        claim, asked_at = self._ask(batch_id, terms)
        if claim.state is ClaimState.HELD and holder_is_gone(claim.holder):
            claim, asked_at = self._ask(batch_id, replace(terms, takeover=claim.holder))
        return claim, asked_at

    def _ask(self, batch_id: str, terms: ClaimTerms) -> tuple[Claim, float]:
        """The answer to a claim, and when it was asked for."""

        def ask() -> tuple[Claim, float]:
            asked_at = time.monotonic()
            return self._bench.ledger.claim(batch_id, terms), asked_at

        return patiently(ask)
