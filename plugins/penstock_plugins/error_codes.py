"""Why a call failed: the closed set of codes, and which of them another try may help."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """The closed set of reasons why a call failed."""

    TOOL_NOT_FOUND = "TOOL_NOT_FOUND"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    OUT_OF_FUEL = "OUT_OF_FUEL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    TRAP = "TRAP"
    INIT_FAILED = "INIT_FAILED"
    INVALID_OUTPUT = "INVALID_OUTPUT"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    USER_CANCELLED = "USER_CANCELLED"
    RATE_LIMIT = "RATE_LIMIT"
    DEPENDENCY_ERROR = "DEPENDENCY_ERROR"
    NOT_FOUND = "NOT_FOUND"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    COMPOSITE_STEP_FAILED = "COMPOSITE_STEP_FAILED"
    PIPELINE_ERROR = "PIPELINE_ERROR"
    LOOP_LIMIT = "LOOP_LIMIT"
    OVERLOADED = "OVERLOADED"
    INTERRUPTED = "INTERRUPTED"
    QUARANTINED = "QUARANTINED"
    TOOL_NOT_READY = "TOOL_NOT_READY"
    UNTRUSTED_PLUGIN = "UNTRUSTED_PLUGIN"
    CONFLICT = "CONFLICT"


#: Codes after which the same call may succeed when it is made again, or made differently.
RECOVERABLE: frozenset[ErrorCode] = frozenset(
    {
        ErrorCode.TIMEOUT,
        ErrorCode.RATE_LIMIT,
        ErrorCode.DEPENDENCY_ERROR,
        ErrorCode.VALIDATION_ERROR,
        ErrorCode.OVERLOADED,
    }
)
