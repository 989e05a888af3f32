"""The public door: `from penstock import Producer`. Nothing is loaded before it is asked for (PEP 562).

What is not here is one package further: `from penstock_workers import Executor` runs calls in this process,
`from penstock_plugins import Manifest` reads plugins.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock_broker_config.dead_letters import DeadLetter as DeadLetter
    from penstock_broker_config.dead_letters import LetterFilter as LetterFilter
    from penstock_broker_config.ledger import JobState as JobState
    from penstock_broker_config.settings import Settings as Settings
    from penstock_broker_config.settings import load_settings as load_settings
    from penstock_plugins.error_codes import ErrorCode as ErrorCode
    from penstock_plugins.errors import CallCancelledError as CallCancelledError
    from penstock_plugins.errors import ConfigurationError as ConfigurationError
    from penstock_plugins.errors import ConflictError as ConflictError
    from penstock_plugins.errors import ExecutionError as ExecutionError
    from penstock_plugins.errors import InvalidPipelineError as InvalidPipelineError
    from penstock_plugins.errors import JobFailedError as JobFailedError
    from penstock_plugins.errors import JobNotFoundError as JobNotFoundError
    from penstock_plugins.errors import OverloadedError as OverloadedError
    from penstock_plugins.errors import ParamsError as ParamsError
    from penstock_plugins.errors import PenstockError as PenstockError
    from penstock_plugins.errors import ToolError as ToolError
    from penstock_plugins.errors import ToolNotFoundError as ToolNotFoundError
    from penstock_plugins.errors import ToolTimeoutError as ToolTimeoutError
    from penstock_plugins.errors import UnreachableError as UnreachableError
    from penstock_plugins.errors import WaitTimeoutError as WaitTimeoutError
    from penstock_plugins.pipelines.builder import Pipeline as Pipeline
    from penstock_plugins.pipelines.builder import step as step
    from penstock_plugins.pipelines.builder import tool as tool
    from penstock_plugins.result import ResultMetadata as ResultMetadata
    from penstock_plugins.result import ToolFailure as ToolFailure
    from penstock_plugins.result import ToolResult as ToolResult
    from penstock_plugins.tool import Tool as Tool
    from penstock_plugins.tool import Traits as Traits
    from penstock_scheduler import AsyncJob as AsyncJob
    from penstock_scheduler import AsyncProducer as AsyncProducer
    from penstock_scheduler import Job as Job
    from penstock_scheduler import Producer as Producer
    from penstock_scheduler import Progress as Progress
    from penstock_scheduler.origin import Origin as Origin
    from penstock_scheduler.tree import RunTree as RunTree
    from penstock_scheduler.tree import StepStatus as StepStatus

    #: The distribution's.
    __version__: str

#: Where each name lives.
_HOMES = {
    "penstock_scheduler": ("AsyncJob", "AsyncProducer", "Job", "Producer", "Progress"),
    "penstock_scheduler.origin": ("Origin",),
    "penstock_scheduler.tree": ("RunTree", "StepStatus"),
    "penstock_broker_config.dead_letters": ("DeadLetter", "LetterFilter"),
    "penstock_broker_config.ledger": ("JobState",),
    "penstock_broker_config.settings": ("Settings", "load_settings"),
    "penstock_plugins.pipelines.builder": ("Pipeline", "step", "tool"),
    "penstock_plugins.result": ("ResultMetadata", "ToolFailure", "ToolResult"),
    "penstock_plugins.tool": ("Tool", "Traits"),
    "penstock_plugins.error_codes": ("ErrorCode",),
    "penstock_plugins.errors": (
        "CallCancelledError",
        "ConfigurationError",
        "ConflictError",
        "ExecutionError",
        "InvalidPipelineError",
        "JobFailedError",
        "JobNotFoundError",
        "OverloadedError",
        "ParamsError",
        "PenstockError",
        "ToolError",
        "ToolNotFoundError",
        "ToolTimeoutError",
        "UnreachableError",
        "WaitTimeoutError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncJob",
    "AsyncProducer",
    "CallCancelledError",
    "ConfigurationError",
    "ConflictError",
    "DeadLetter",
    "ErrorCode",
    "ExecutionError",
    "InvalidPipelineError",
    "Job",
    "JobFailedError",
    "JobNotFoundError",
    "JobState",
    "LetterFilter",
    "Origin",
    "OverloadedError",
    "ParamsError",
    "PenstockError",
    "Pipeline",
    "Producer",
    "Progress",
    "ResultMetadata",
    "RunTree",
    "Settings",
    "StepStatus",
    "Tool",
    "ToolError",
    "ToolFailure",
    "ToolNotFoundError",
    "ToolResult",
    "ToolTimeoutError",
    "Traits",
    "UnreachableError",
    "WaitTimeoutError",
    "load_settings",
    "step",
    "tool",
]


if not TYPE_CHECKING:  # type checkers see the imports above, and so refuse other names

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version  # slow to load

            return version("penstock")
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value  # asked for once
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
