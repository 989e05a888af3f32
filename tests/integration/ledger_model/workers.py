"""Workers of the state machine: they claim, run, report, vanish, and come back late."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from penstock_broker_config.ledger import Claim, ClaimState, ClaimTerms, RecordKind
from tests.integration.ledger_model.audit import look_of
from tests.integration.ledger_model.parts import MAX_ATTEMPTS, PARKED_MS
from tests.integration.ledger_model.producers import picks
from tests.integration.ledger_model.running_model import Granted, Report
from tests.integration.ledger_model.schedulers import Schedulers

LEASES_MS = (50, 30_000, 30_000, 7_200_000)


class Workers(Schedulers):
    """What runs batches. A worker whose turn does not come is one that stands still, or is cut off."""

    @precondition(lambda self: self.heard)
    @rule(pick=picks, worker=st.sampled_from("abc"), lease=st.sampled_from(LEASES_MS), whole=st.booleans())
    def take(self, pick: int, worker: str, lease: int, whole: bool) -> None:
        """A worker hears a doorbell, perhaps an old one; perhaps nothing happens to it until the end."""
        recent = self.heard[-6:]
        batch_id = recent[pick % len(recent)]
        if whole:
            self._work(batch_id, worker)
        else:
            self._claim(batch_id, worker, lease)

    def _claim(self, batch_id: str, worker: str, lease: int) -> Granted | None:
        self.names += 1
        me = f"{worker}:1:1#{self.names}"
        batch = self.model.batches.get(batch_id)
        gone = batch.holder if batch is not None and batch.holder in self.dead else ""
        t = self.ledger.now_ms
        terms = ClaimTerms(holder=me, lease_s=lease / 1000, max_attempts=MAX_ATTEMPTS, takeover=gone)
        claim = self.ledger.claim(batch_id, terms)
        parked = claim.state is ClaimState.PARKED
        expected = self.model.claim(batch_id, me, lease, gone, t, parked=parked)
        if isinstance(expected, str):
            assert claim.state.value == expected
            if batch is not None and expected == "parked":
                batch.look = look_of(self.redis, self.ledger, batch_id)
                assert batch.look >= min(t + PARKED_MS, self.model.soonest(batch) + 1)
            return None
        _check_claim(claim, expected)
        self.given.append(expected)
        return expected

    @precondition(lambda self: self.given)
    @rule(
        what=st.sampled_from(["commit", "commit", "commit", "renew", "release", "vanish"]),
        pick=picks, lease=st.sampled_from(LEASES_MS), kinds=st.text("ssfr", min_size=1, max_size=4),
        pause=st.sampled_from([None, None, None, 2000]), delay=st.sampled_from([5, 3000, 4_000_000]),
        twice=st.booleans(),
    )  # fmt: skip
    def go_on(
        self, what: str, pick: int, lease: int, kinds: str, pause: int | None, delay: int, twice: bool
    ) -> None:
        """What a worker does with what it was given, whether or not it still may."""
        recent = self.given[-6:]
        mine = recent[pick % len(recent)]
        if what == "commit":
            self._report_next(mine, kinds, lease, pause, delay, twice)
        elif what == "renew":
            self._renew(mine, lease)
        elif what == "release":
            self._release(mine)
        else:
            self._vanish(mine)

    def _report_next(
        self, mine: Granted, kinds: str, lease: int, pause: int | None, delay: int, twice: bool
    ) -> None:
        """A worker reports its next calls; perhaps its answer gets lost."""
        left = len(mine.calls) - mine.position
        kinds = kinds[: min(1, left) if mine.careful else left]
        if not kinds:
            return
        for _ in range(1 + twice):
            self._commit(mine, mine.position, kinds, lease, pause, delay)
        mine.position += len(kinds)

    def _commit(
        self, mine: Granted, position: int, kinds: str, lease: int, pause: int | None = None, delay: int = 5
    ) -> str:
        reports = [self._report(mine, position + k, kind, delay) for k, kind in enumerate(kinds)]
        t = self.ledger.now_ms
        answer = self.ledger.commit(
            mine.batch,
            [(RecordKind(report.kind), report.text) for report in reports],
            fence=mine.fence,
            position=position,
            lease_s=lease / 1000,
            cost_field=f"{mine.header.digest}:{mine.header.tool}",
            cost_us=100.0,
            pause_s=None if pause is None else pause / 1000,
        )
        expected = self.model.commit(mine, position, reports, lease, pause, t)
        assert answer.value == expected
        mine.until = t + lease if expected == "ok" else 0
        return expected

    def _report(self, mine: Granted, position: int, kind: str, delay: int) -> Report:
        if position in mine.closed:
            return Report("n", b"")
        ref = mine.calls[position]
        if kind != "r" or mine.header.once:
            return Report("f" if kind == "r" else kind, f"{mine.holder} says {ref}".encode())
        header = self.model.jobs[ref.job].header.to_json()
        call = orjson.dumps([self.params[ref], ""])
        text = f"{delay} {mine.attempts + 1}\n".encode() + header + b"\n" + call
        return Report("r", text, delay, mine.attempts + 1, len(call))

    def _work(self, batch_id: str, worker: str) -> None:
        mine = self._claim(batch_id, worker, 30_000)
        if mine is None:
            return
        for position in range(mine.position, len(mine.calls)):
            if self._commit(mine, position, "s", 30_000) != "ok":
                return

    def _renew(self, mine: Granted, lease: int) -> None:
        """A worker runs a call that takes long, or ran one and was stopped for a while."""
        position = min(mine.position, len(mine.calls) - 1)
        t = self.ledger.now_ms
        answer = self.ledger.renew(mine.batch, fence=mine.fence, lease_s=lease / 1000, position=position)
        expected = self.model.renew(mine, position, lease, t)
        assert answer.value == expected
        mine.until = t + lease if expected in {"ok", "skip"} else 0

    def _release(self, mine: Granted) -> None:
        """A worker stops, and gives back what it has."""
        t = self.ledger.now_ms
        assert self.ledger.release(mine.batch, fence=mine.fence).value == self.model.release(mine, t)
        mine.until = 0

    def _vanish(self, mine: Granted) -> None:
        """A worker is killed, and its host knows."""
        self.dead.add(mine.holder)
        mine.until = 0
        self.given.remove(mine)

    def check_witness(self) -> None:
        """Whoever runs a call under a limit has a slot of it, whatever others did meanwhile."""
        t = self.ledger.now_ms
        for one in self.given:
            for key in one.keys if one.until > t else ():
                assert one.batch in self.model.limits.limit(key).slots_at(t), (
                    f"{one.batch} runs without {key}"
                )


def _check_claim(claim: Claim, expected: Granted) -> None:
    assert claim.state is ClaimState.GRANTED
    assert (claim.fence, claim.recorded, claim.attempts, claim.careful, claim.formed) == (
        expected.fence,
        expected.position,
        expected.attempts,
        expected.careful,
        expected.formed,
    )
    assert claim.closed == (expected.closed if expected.formed else set())
    assert claim.limited == bool(expected.keys)
    headers = [orjson.loads(line) for line in claim.header.split(b"\n")]
    entries = orjson.loads(claim.calls)
    assert len(entries) == len(expected.calls)
    for entry, ref in zip(entries, expected.calls, strict=True):
        header = headers[entry[0]] if claim.formed else headers[0]
        assert (header["job"], entry[1] if claim.formed else entry[0]) == ref
        for name in ("tool", "digest", "tenant", "queue", "once", "timeout_s"):
            assert header[name] == getattr(expected.header, name), f"batches mix {name}"
