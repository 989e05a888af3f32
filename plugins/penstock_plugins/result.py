"""What a call gives back: its data or its failure, and what happened on the way.

On the wire a result is a compact JSON object (`to_record`): what the reader knows anyway, such as the
call's id and the tool's name, is left out and added again by `from_record`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from penstock_plugins.error_codes import RECOVERABLE, ErrorCode
from penstock_plugins.errors import ERROR_CLASSES, ToolError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFailure:
    """Why a call failed."""

    code: ErrorCode
    message: str
    details: dict[str, Any] | None = None

    @property
    def recoverable(self) -> bool:
        """Whether the same call may succeed later, or with other params."""
        return self.code in RECOVERABLE

    def to_dict(self) -> dict[str, Any]:
        """`{code, message, details?, recoverable}`."""
        shape: dict[str, Any] = {"code": self.code.value, "message": self.message}
        if self.details:
            shape["details"] = self.details
        shape["recoverable"] = self.recoverable
        return shape

    def to_exception(self) -> ToolError:
        """The same failure as an exception of its code's class."""
        return ERROR_CLASSES[self.code](self.message, self.details)

    @classmethod
    def from_exception(cls, error: ToolError) -> ToolFailure:
        """The failure that an exception stands for."""
        return cls(code=error.code, message=error.message, details=error.details or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultMetadata:
    """What happened on the way to a result."""

    #: Milliseconds from the start of the sandbox to its end.
    execution_ms: float = 0.0
    #: Milliseconds from the ledger's acceptance to the start of the execution.
    queued_ms: float = 0.0
    #: Executions that were started, this one included.
    attempts: int = 1
    #: Whether the result came from the cache.
    cached: bool = False
    #: Whether the data is the declared fallback value.
    fallback: bool = False
    #: Whether the tool was asked not to have effects.
    dry_run: bool = False
    #: Who executed it: host and process.
    worker: str = ""
    plugin_digest: str = ""
    #: Calls that shared an instance, this one included, by the plugin's batch entry point; `execution_ms` is
    #: then this one's share. 0: it had an instance of its own.
    batched: int = 0
    #: Fuel used. None: not metered.
    fuel: int | None = None
    #: Log lines of the guest, `{level, message}`, capped.
    logs: list[dict[str, str]] = field(default_factory=list)
    #: Log lines dropped because of the cap.
    logs_dropped: int = 0
    #: What the guest tried and was refused, one text each.
    denied: list[str] = field(default_factory=list)
    #: Whether something in this result was cut to its cap.
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The result of one call."""

    call_id: str
    #: Full name, `plugin.tool`.
    tool: str
    success: bool
    #: What the tool returned, as JSON values. None for a failure.
    data: Any = None
    error: ToolFailure | None = None
    metadata: ResultMetadata = field(default_factory=ResultMetadata)
    #: Position in the input of a `map`. None for a single call.
    index: int | None = None
    #: What each step of a pipeline did, in order (L-2). None: this is one call of one tool, or an item that
    #: was stopped with its run; `Job.item` has what was done with it.
    trace: list[dict[str, Any]] | None = None
    #: Whether a pipeline's filter let the item go. None: this is one call of one tool.
    filtered: bool | None = None

    def unwrap(self) -> Any:
        """The data, or the failure raised as its typed exception.

        Raises:
            ToolError: the class of the failure's code.
        """
        if self.error is not None:
            raise self.error.to_exception()
        return self.data

    def to_dict(self) -> dict[str, Any]:
        """`{call_id, tool, success, data?, error?, metadata, index?, filtered?, trace?}`, ready for JSON."""
        shape: dict[str, Any] = {"call_id": self.call_id, "tool": self.tool, "success": self.success}
        if self.success:
            shape["data"] = self.data
        elif self.error is not None:
            shape["error"] = self.error.to_dict()
        shape["metadata"] = {
            name: value
            for name in ResultMetadata.__slots__
            if (value := getattr(self.metadata, name)) is not None
        }
        if self.index is not None:
            shape["index"] = self.index
        if self.filtered is not None:
            shape["filtered"] = self.filtered
        if self.trace is not None:
            shape["trace"] = self.trace
        return shape

    def to_json(self) -> bytes:
        """`to_dict` as JSON."""
        return orjson.dumps(self.to_dict())


def rounded_ms(duration_ms: float) -> float:
    """A duration as results and traces have it, in whole microseconds: as `round` gives it, and quicker.

    Args:
        duration_ms: milliseconds, not below 0.
    """
    return int(duration_ms * 1000 + 0.5) / 1000


def to_record(
    *,
    content: bytes | None,
    error: ToolFailure | None,
    metadata: dict[str, Any],
    trace: list[dict[str, Any]] | bytes | None = None,
    filtered: bool | None = None,
    data: Any = None,
) -> bytes:
    """The compact form in which the ledger keeps a result.

    Args:
        content: the data as checked JSON text; None for a failure.
        error: the failure; None for a success.
        metadata: fields of `ResultMetadata` that differ from their defaults.
        trace: of an item of a pipeline, also as JSON text.
        filtered: of an item of a pipeline.
        data: as JSON values, when there is no text of it.

    Raises:
        orjson.JSONEncodeError: data or trace are no JSON.
    """
    shape: dict[str, Any] = {}
    if error is None:
        shape["d"] = data if content is None else orjson.Fragment(content)
    else:
        shape["e"] = {"code": error.code.value, "message": error.message}
        if error.details:
            shape["e"]["details"] = error.details
    shape["m"] = metadata
    if filtered is not None:
        shape["f"] = filtered
    if trace is not None:
        shape["t"] = orjson.Fragment(trace) if isinstance(trace, bytes) else trace
    return orjson.dumps(shape)


def from_record(
    record: bytes, *, call_id: str, tool: str, index: int | None, plugin_digest: str = ""
) -> ToolResult:
    """The result that `to_record` wrote, with what the reader knows added."""
    shape = orjson.loads(record)
    metadata = shape.get("m") or {}
    metadata["plugin_digest"] = plugin_digest
    failure = shape.get("e")
    error = None
    if failure is not None:
        error = ToolFailure(
            code=ErrorCode(failure["code"]), message=failure["message"], details=failure.get("details")
        )
    return ToolResult(
        call_id=call_id,
        tool=tool,
        success=error is None,
        data=shape.get("d"),
        error=error,
        metadata=ResultMetadata(**metadata),
        index=index,
        trace=shape.get("t"),
        filtered=shape.get("f"),
    )
