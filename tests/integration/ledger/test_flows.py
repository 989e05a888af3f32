"""Flows on a real Redis: every stage counts once, and a flow ends with its items, whoever dies on the way."""

from __future__ import annotations

import redis

from penstock_broker_config.ledger import JobState, Ledger
from tests.support.flow_values import begun, ended, passed, pending
from tests.support.ledger_values import GOOD


def test_a_flow_goes_its_way(ledger: Ledger, client: redis.Redis) -> None:
    """Begin, two stages, the end: results stand under their indexes, and the run has ended."""
    begun(ledger, "r")
    passed(ledger, "r/0", "0", "1", traces=b"[0]", counters={"text.stats|in": 3, "text.stats|out": 3})
    ended(ledger, "r/0", "1")

    job = ledger.job("r")
    assert (job.state, job.done, job.failed, job.total) == (JobState.SUCCEEDED, 3, 0, 3)
    assert (job.pipeline, job.tool, job.accepted) == (True, "both", 3)
    assert ledger.results("r", [0, 1, 2]) == [GOOD[1]] * 3
    assert ledger.steps("r") == {"text.stats|in": 3, "text.stats|out": 3}
    assert [c.indexes for c in ledger.completions("r")[1]] == [range(3), range(0)]
    assert client.zcard("penstock:open") == 0
    assert pending(ledger) == (0, 0)
