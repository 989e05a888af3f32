"""Time, schedulers and the operator of the state machine."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from penstock_broker_config.ledger import UNLIMITED, DispatchTerms, LimitChange, ReapTerms
from tests.integration.ledger_model.audit import left_in, owners
from tests.integration.ledger_model.parts import BACKOFF_CAP_MS, BACKOFF_MS, RESERVE_MS, RING_AFTER_MS
from tests.integration.ledger_model.producers import Producers

#: An hour and more: limits that nobody uses are forgotten after one.
TIMES_MS = (1, 40, 250, 1000, 6000, 16_000, 31_000, 61_000, 3_700_000, 8_000_000)
AMPLE = DispatchTerms(limit=200, waiting=500, ring_after_s=RING_AFTER_MS / 1000, reserve_s=RESERVE_MS / 1000)
REAP = ReapTerms(limit=1000, backoff_s=BACKOFF_MS / 1000, backoff_cap_s=BACKOFF_CAP_MS / 1000)
OPERATOR_KEYS = ("api", "site", "tool:web.fetch", "tenant:t")


class Schedulers(Producers):
    """What forms batches, rings again and changes limits."""

    @rule(ms=st.sampled_from(TIMES_MS))
    def time_passes(self, ms: int) -> None:
        """For everybody."""
        self.ledger.let_pass(ms)

    @rule(
        what=st.sampled_from(["all", "all", "all", "some", "reap"]),
        limit=st.integers(1, 3), waiting=st.integers(1, 4),
    )  # fmt: skip
    def schedule(self, what: str, limit: int, waiting: int) -> None:
        """A dispatcher forms batches, of all that may leave or of some; a reaper looks at what is overdue."""
        few = DispatchTerms(
            limit=limit, waiting=waiting, ring_after_s=AMPLE.ring_after_s, reserve_s=AMPLE.reserve_s
        )
        if what == "reap":
            self._reap()
        else:
            self._dispatch(AMPLE if what == "all" else few)

    def _dispatch(self, terms: DispatchTerms) -> list[str]:
        """What a dispatcher rings for, which looks again at once when it is told so."""
        rung, at_once = self._look(terms)
        for _ in range(9 if terms is AMPLE else 0):
            if not at_once:
                break
            more, at_once = self._look(terms)
            rung += more
        if terms is AMPLE:
            assert not at_once, "a dispatcher would turn round and round"
            self.model.check_nothing_is_held_up(self.ledger.now_ms)
        return rung

    def _look(self, terms: DispatchTerms) -> tuple[list[str], bool]:
        t, model = self.ledger.now_ms, self.model
        answer = self.ledger.dispatch(terms)
        model.mature(t)
        for rung in answer.batches:
            if (batch := model.batches.get(rung.batch_id)) is not None:
                model.readmit(batch, t)
            else:
                refs = owners(self.redis, self.ledger, rung.batch_id)
                (line,) = (
                    line
                    for line in model.lines.values()
                    if refs[0] in [item.ref for item in line.items if model.alive(item, t)]
                )
                batch = model.form(rung.batch_id, line, refs, t)
            assert (rung.queue, rung.tool) == (batch.header.queue, batch.header.tool)
            assert rung.calls == len(batch.calls) - batch.done
        waiting = [line for line in model.lines.values() if line.due is None]
        left = left_in(self.redis, self.ledger, [line.name for line in waiting])
        for line, count in zip(waiting, left, strict=True):
            model.drop_dead(line, count, t)
            if not line.items:
                del model.lines[line.name]
        ids = [rung.batch_id for rung in answer.batches]
        self.heard += [name for name in ids if name not in self.heard]
        return ids, answer.next_s == 0

    def _reap(self) -> set[str]:
        expected = self.model.reap(self.ledger.now_ms)
        rung = {one.batch_id for one in self.ledger.reap(REAP)}
        assert rung == expected
        return rung

    @rule(
        clear=st.booleans(),
        key=st.sampled_from(OPERATOR_KEYS), concurrency=st.sampled_from([None, 0, 1, 3, UNLIMITED]),
        rate=st.sampled_from([None, None, 0.0, 2.0, UNLIMITED]),
        pause=st.sampled_from([None, None, None, 0, 5000, 7_300_000]), weight=st.sampled_from([None, 2.0]),
    )  # fmt: skip
    def operate(
        self,
        clear: bool,
        key: str,
        concurrency: float | None,
        rate: float | None,
        pause: int | None,
        weight: float | None,
    ) -> None:
        """The operator changes figures, pauses a key or lets it go on; or takes it all back."""
        if clear:
            self._clear_limit(key)
            return
        until = pause and self.ledger.now_ms + pause
        change = LimitChange(concurrency=concurrency, rate_per_s=rate, paused_until_ms=until, weight=weight)
        self.ledger.change_limit(key, change)
        self.model.limits.change(key, change)

    def _clear_limit(self, key: str) -> None:
        self.ledger.clear_limit(key)
        self.model.limits.clear(key)
