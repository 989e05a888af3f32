"""An outcome as the ledger keeps it."""

from __future__ import annotations

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure, from_record
from penstock_workers.outcome import Outcome


def test_success_is_kept_with_its_content() -> None:
    """What a reader makes of the record is what the guest returned."""
    outcome = Outcome(content=b'{"n": 1}', data={"n": 1}, execution_s=0.0005)

    result = from_record(outcome.to_record(), call_id="j.0", tool="text.stats", index=None)

    assert outcome.success
    assert result.success
    assert result.data == {"n": 1}
    assert result.metadata.execution_ms == 0.5


def test_failure_is_kept_with_its_reason() -> None:
    """Code, message and details."""
    failure = ToolFailure(code=ErrorCode.TIMEOUT, message="too long", details={"phase": "init"})
    outcome = Outcome(failure=failure)

    result = from_record(outcome.to_record(), call_id="j.0", tool="text.stats", index=3)

    assert not outcome.success
    assert result.error == failure
    assert result.index == 3
