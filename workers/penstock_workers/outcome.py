"""What one execution gave: the ledger's view of a result, before anybody adds ids and queue times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from penstock_plugins.result import ToolFailure, rounded_ms, to_record


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The content or the failure of one execution, and what happened on the way."""

    #: The tool's output as JSON text that was checked to be JSON. None for a failure.
    content: bytes | None = None
    #: The same as JSON values.
    data: Any = None
    #: Why there is no content. None for a success.
    failure: ToolFailure | None = None
    #: Fields of `ResultMetadata` that differ from their defaults, but for the time that it took; the caller
    #: may add its own (`queued_ms`, `attempts`).
    metadata: dict[str, Any] = field(default_factory=dict)
    #: Seconds that the execution took, checks of the params included.
    execution_s: float = 0.0

    @property
    def success(self) -> bool:
        """Whether there is content."""
        return self.failure is None

    @property
    def execution_ms(self) -> float:
        """The time that it took, as results have it."""
        return rounded_ms(self.execution_s * 1000)

    def to_record(self) -> bytes:
        """The compact form that the ledger keeps."""
        if self.execution_s:
            self.metadata["execution_ms"] = self.execution_ms
        return to_record(content=self.content, error=self.failure, metadata=self.metadata)
