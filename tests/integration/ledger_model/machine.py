"""Producers, schedulers, an operator and workers at random, each step beside the model."""

from __future__ import annotations

from hypothesis.stateful import invariant

from tests.integration.ledger_model.audit import audit, check_remains
from tests.integration.ledger_model.schedulers import AMPLE
from tests.integration.ledger_model.workers import Workers

#: More rounds than anything needs: each is longer than all back-offs, and shorter than the longest delay.
_ROUNDS = 400


class BuffersLeasesAndRates(Workers):
    """The ledger's own scripts on a real Redis, by the test's clock, and the model beside them."""

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        """No call is lost or doubled, who runs has a slot, and everything is counted as it is."""
        if hasattr(self, "model"):
            self.check_witness()
            audit(self.redis, self.ledger, self.model)

    def teardown(self) -> None:
        """Workers that work run all that there is, and each call has one outcome."""
        if not hasattr(self, "model"):
            return
        try:
            self._drain()
        finally:
            self.redis.close()

    def _drain(self) -> None:
        for key in list(self.model.limits.of):
            self._clear_limit(key)
        for job in list(self.model.jobs.values()):
            self.ledger.seal(job.id)
            self.model.seal(job)
        self.given.clear()
        rounds = 0
        while self.model.batches or self.model.lines:
            rounds += 1
            assert rounds < _ROUNDS, "something is never run"
            self.ledger.let_pass(70_000 if rounds < 50 else 600_000)
            for batch_id in [*self._dispatch(AMPLE), *self._reap()]:
                self._work(batch_id, "z")
            audit(self.redis, self.ledger, self.model)
        self.ledger.let_pass(70_000)
        self._dispatch(AMPLE)
        self._reap()
        check_remains(self.redis, self.ledger, self.model)
