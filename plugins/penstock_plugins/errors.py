"""Every error of Penstock, in one tree.

    PenstockError
    ├── ToolError                      a call that failed: one class per code of the closed set
    │   ├── ToolNotFoundError            TOOL_NOT_FOUND
    │   ├── ParamsError                  VALIDATION_ERROR
    │   ├── ToolTimeoutError             TIMEOUT
    │   └── …                            (see ErrorCode)
    ├── ManifestError                  a plugin.toml that cannot be used: all its problems at once
    ├── InvalidPipelineError           a pipeline that cannot be used: all its problems at once
    ├── BundleError                    a plugin folder or bundle whose bytes cannot be used
    ├── BuildError                     a plugin that cannot be built from its sources
    ├── CatalogError                   a catalog that refuses or does not have a bundle
    ├── ArtifactError                  native code that cannot be had on this host
    │   └── CompileError                 a plugin whose WebAssembly does not compile within the limits
    ├── ConfigurationError             a setting that cannot be used; names the key and its source
    ├── UnsafeStartError               a worker that would not be safe to start, with the reason
    ├── AlreadyRunningError            only one may run here; names the process that does
    ├── EnvelopeError                  a message that cannot be read or is not signed as it must be
    ├── JobNotFoundError               no such job, or its results have expired
    ├── DeadLetterNotFoundError        no such dead letter
    ├── JobFailedError                 the job as a whole failed: its input ended with an error
    ├── ValueLostError                 a large value that is gone, or was changed
    ├── WaitTimeoutError               the wait was too short; the job goes on
    └── UnreachableError               the broker or the store does not answer

Expected failures of a tool are values (`ToolFailure` in a `ToolResult`); the `ToolError` classes are
the same failures for code that prefers exceptions. They take `(message, details)` by position, because
that is the only way an exception survives its way through Celery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from penstock_plugins.error_codes import RECOVERABLE, ErrorCode

if TYPE_CHECKING:
    from penstock_plugins.pipelines.model_problems import Problem


class PenstockError(Exception):
    """Something went wrong in Penstock."""

    #: What a command-line program ends with when this error reaches its top.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *rest: Any) -> None:
        self.message = message or (self.__doc__ or "").strip().partition("\n")[0]
        super().__init__(self.message, *rest)

    def __str__(self) -> str:
        return self.message


class ToolError(PenstockError):
    """The call failed."""

    code: ClassVar[ErrorCode] = ErrorCode.EXECUTION_ERROR

    def __init__(self, message: str = "", details: Mapping[str, Any] | None = None) -> None:
        self.details: dict[str, Any] = dict(details or {})
        super().__init__(message, self.details)

    @property
    def recoverable(self) -> bool:
        """Whether the same call may succeed later, or with other params."""
        return self.code in RECOVERABLE


class ToolNotFoundError(ToolError):
    """Unknown tool: list the known ones with `penstock tools`."""

    code = ErrorCode.TOOL_NOT_FOUND
    exit_code = 2


class ParamsError(ToolError):
    """The params do not fit the tool's schema; `details["errors"]` lists every violation with its path."""

    code = ErrorCode.VALIDATION_ERROR
    exit_code = 2


class ToolTimeoutError(ToolError):
    """The call was stopped because its time was up."""

    code = ErrorCode.TIMEOUT


class CallCancelledError(ToolError):
    """The call was cancelled."""

    code = ErrorCode.CANCELLED


class OutOfFuelError(ToolError):
    """The guest used up its fuel."""

    code = ErrorCode.OUT_OF_FUEL


class OutOfMemoryError(ToolError):
    """The guest asked for more memory than its limit."""

    code = ErrorCode.OUT_OF_MEMORY


class TrapError(ToolError):
    """The guest trapped."""

    code = ErrorCode.TRAP


class InitFailedError(ToolError):
    """The plugin's `init` failed."""

    code = ErrorCode.INIT_FAILED


class InvalidOutputError(ToolError):
    """The guest's output is not JSON."""

    code = ErrorCode.INVALID_OUTPUT


class OutputTooLargeError(ToolError):
    """The guest's output is larger than its limit."""

    code = ErrorCode.OUTPUT_TOO_LARGE


class PermissionDeniedError(ToolError):
    """The policy does not allow this."""

    code = ErrorCode.PERMISSION_DENIED


class UserCancelledError(ToolError):
    """Nobody confirmed the call."""

    code = ErrorCode.USER_CANCELLED


class RateLimitError(ToolError):
    """A rate limit was reached; `details["retry_after_s"]` says when to try again."""

    code = ErrorCode.RATE_LIMIT


class DependencyError(ToolError):
    """Something that the tool depends on failed."""

    code = ErrorCode.DEPENDENCY_ERROR


class NotFoundError(ToolError):
    """What the tool was asked for does not exist."""

    code = ErrorCode.NOT_FOUND


class ExecutionError(ToolError):
    """The tool reported a failure."""

    code = ErrorCode.EXECUTION_ERROR


class CompositeStepFailedError(ToolError):
    """A step of a composite tool failed."""

    code = ErrorCode.COMPOSITE_STEP_FAILED


class PipelineError(ToolError):
    """A pipeline could not go on."""

    code = ErrorCode.PIPELINE_ERROR


class LoopLimitError(ToolError):
    """Calls submitted calls too deeply."""

    code = ErrorCode.LOOP_LIMIT


class OverloadedError(ToolError):
    """Too much is waiting; `details["retry_after_s"]` says when to try again."""

    code = ErrorCode.OVERLOADED


class InterruptedCallError(ToolError):
    """The worker was lost while the call ran, and the tool may not be run twice."""

    code = ErrorCode.INTERRUPTED


class QuarantinedError(ToolError):
    """The call lost its worker again and again and was set aside as a dead letter."""

    code = ErrorCode.QUARANTINED


class ToolNotReadyError(ToolError):
    """The tool is not ready."""

    code = ErrorCode.TOOL_NOT_READY


class UntrustedPluginError(ToolError):
    """The plugin's bytes or signature are not what the operator trusts."""

    code = ErrorCode.UNTRUSTED_PLUGIN


class ConflictError(ToolError):
    """The idempotency key was used before with other params."""

    code = ErrorCode.CONFLICT
    exit_code = 2


#: The class of each code. `ERROR_CLASSES[code](message, details)` makes the exception of a code.
ERROR_CLASSES: Mapping[ErrorCode, type[ToolError]] = {
    cls.code: cls
    for cls in (
        ToolNotFoundError,
        ParamsError,
        ToolTimeoutError,
        CallCancelledError,
        OutOfFuelError,
        OutOfMemoryError,
        TrapError,
        InitFailedError,
        InvalidOutputError,
        OutputTooLargeError,
        PermissionDeniedError,
        UserCancelledError,
        RateLimitError,
        DependencyError,
        NotFoundError,
        ExecutionError,
        CompositeStepFailedError,
        PipelineError,
        LoopLimitError,
        OverloadedError,
        InterruptedCallError,
        QuarantinedError,
        ToolNotReadyError,
        UntrustedPluginError,
        ConflictError,
    )
}


class ManifestError(PenstockError):
    """The manifest cannot be used."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str] = (), path: str = "") -> None:
        #: Every problem found, not only the first.
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.path = path
        where = f"{path}: " if path else ""
        super().__init__(where + "; ".join(self.problems))
        # What it is built from again on the other side of Celery.
        self.args = (list(self.problems), path)


class InvalidPipelineError(PenstockError):
    """The pipeline cannot be used."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str | Problem] = (), path: str = "") -> None:
        given = (problems,) if isinstance(problems, str) else tuple(problems)
        #: Every problem found, not only the first.
        self.problems: tuple[str, ...] = tuple(map(str, given))
        #: Those whose places are known, for programs. Empty on the other side of Celery.
        self.found: tuple[Problem, ...] = tuple(one for one in given if not isinstance(one, str))
        self.path = path
        where = f"{path}: " if path else ""
        super().__init__(where + "; ".join(self.problems))
        # What it is built from again on the other side of Celery.
        self.args = (list(self.problems), path)


class BundleError(PenstockError):
    """The plugin's files cannot be used."""

    exit_code = 2


class BuildError(PenstockError):
    """The plugin could not be built."""

    exit_code = 2


class CatalogError(PenstockError):
    """The catalog does not have that plugin, or refuses it."""

    exit_code = 2


class ArtifactError(PenstockError):
    """The plugin's native code cannot be had on this host."""


class CompileError(ArtifactError):
    """The plugin's WebAssembly does not compile, or not within the limits."""


class ConfigurationError(PenstockError):
    """A setting cannot be used."""

    exit_code = 2


class UnsafeStartError(PenstockError):
    """The worker would not be safe to start."""

    exit_code = 2


class AlreadyRunningError(PenstockError):
    """It runs already, and only one may run here."""

    exit_code = 2


class EnvelopeError(PenstockError):
    """The message cannot be read, or is not signed as it must be."""


class JobNotFoundError(PenstockError):
    """There is no such job, or its results have expired."""

    exit_code = 2


class DeadLetterNotFoundError(PenstockError):
    """There is no such dead letter: it was dropped, replayed, or has expired."""

    exit_code = 2


class JobFailedError(PenstockError):
    """The job's input ended with an error; what was accepted before it is kept."""


class ValueLostError(PenstockError):
    """A large value is gone, or is not what its digest says."""


class WaitTimeoutError(PenstockError):
    """The wait was too short. The job goes on: ask again, or wait longer."""


class UnreachableError(PenstockError):
    """The broker or the store does not answer. Start one with `penstock up`, or check its URL."""

    exit_code = 3
