"""The dry call of `penstock plugin check`: each tool once, in this process, by an example or a guess."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from penstock.cli.console import safe
from penstock.cli.sample import sample_params
from penstock.cli.words import span
from penstock_broker_config.settings import Settings
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BuildError, ToolError
from penstock_plugins.result import ToolFailure, ToolResult
from penstock_workers import Executor
from penstock_workers.batch_check import disagreement
from penstock_workers.inspection import Inspection
from penstock_workers.toolchain.example_calls import EXAMPLES_NAME, Example, read_examples

#: Seconds for each; a check is not for long work.
TRIAL_S = 5.0
_SHOWN_CHARS = 60
#: What a plugin must not do whatever it is called with, and what its author can do about it. Other failures
#: may be those of made-up params.
_BREACHES = {
    ErrorCode.INIT_FAILED: "Let init succeed whatever the host grants",
    ErrorCode.INVALID_OUTPUT: "Let the tool return JSON",
    ErrorCode.OUTPUT_TOO_LARGE: "Let the tool return less, or write a larger output_bytes into [wasm.limits]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one dry call."""

    params: dict[str, Any]
    result: ToolResult
    #: How calls in a batch differ from single ones. Empty: not at all. None: they share nothing.
    batch: str | None = None

    @property
    def problem(self) -> tuple[str, str] | None:
        """What is the plugin's fault, and not that of the params; and what to do about it."""
        error = self.result.error
        if error is not None and error.code in _BREACHES:
            return f"{error.code}: {error.message}", _BREACHES[error.code]
        if self.batch:
            return self.batch, "Let no call change what a later one returns, or take batch_entry_point out"
        return None

    @property
    def text(self) -> str:
        """The outcome in a few words."""
        if self.batch is None:
            return self._alone
        return f"{self._alone}, {self.batch or 'the same in a batch'}"

    @property
    def _alone(self) -> str:
        error = self.result.error
        if error is not None:
            return f"{error.code}: {safe(error.message)[:_SHOWN_CHARS]}"
        shown = safe(orjson.dumps(self.result.data).decode())
        cut = f"{shown[:_SHOWN_CHARS]}…" if len(shown) > _SHOWN_CHARS else shown
        return f"{cut}  {span(self.result.metadata.execution_ms / 1000)}"

    def to_dict(self) -> dict[str, Any]:
        """For scripts."""
        shape = {"params": self.params, "result": self.result.to_dict()}
        return (
            shape
            if self.batch is None
            else {**shape, "batch": {"ok": not self.batch, "difference": self.batch}}
        )


def try_tools(settings: Settings, folder: Path, inspection: Inspection) -> dict[str, Trial]:
    """Call each tool once; in a batch as well, with its examples, where it has a batch entry point.

    What must be changed is added to the inspection's problems; what its author should know of examples and of
    calls that all fail, to its warnings.
    """
    trials = {}
    examples = _examples(folder, inspection)
    with Executor.local(
        folder,
        cache_dir=settings.cache_dir,
        operator_policy=settings.operator_policy,
        log_sink=SilentSink(),
        sandbox_path=settings.sandbox_path,
    ) as executor:
        for tool in inspection.tools:
            own = [one for one in examples if one.tool in (tool.name, tool.full_name)]
            good = (one.params for one in own if one.error is None)
            params = next(good, None) or sample_params(tool.parameters)
            try:
                result = executor.run(tool.full_name, params, timeout_s=TRIAL_S)
            except ToolError as error:  # refused before it ran
                failure = ToolFailure.from_exception(error)
                result = ToolResult(call_id="", tool=tool.full_name, success=False, error=failure)
            batch = None
            if result.call_id and executor.prepare(tool.full_name).runs_together:
                batch = disagreement(executor, tool.full_name, [params, *(one.params for one in own)])
            trial = trials[tool.name] = Trial(params=params, result=result, batch=batch)
            if trial.problem is not None:
                message, advice = trial.problem
                inspection.add(f"A call of {tool.name}: {message}", advice)
    if trials and not any(trial.result.success for trial in trials.values()):
        inspection.warnings.append(
            "No dry call succeeded. Params are made up where no [[example]] of a tool succeeds: write one"
        )
    return trials


def _examples(folder: Path, inspection: Inspection) -> list[Example]:
    try:
        examples = read_examples(folder)
    except BuildError as error:
        inspection.warnings.append(f"`penstock plugin test` will not run: {error}")
        return []
    if not examples:
        inspection.warnings.append(
            f"There is no example to test: write [[example]] into plugin.toml or {EXAMPLES_NAME}"
        )
    known = {name for tool in inspection.tools for name in (tool.name, tool.full_name)}
    inspection.warnings += [
        f"An example calls '{name}', which is no tool of this plugin"
        for name in sorted({example.tool for example in examples} - known)
    ]
    return examples


class SilentSink:
    """Guests' log lines go nowhere: the results have them."""

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Drop the line."""
