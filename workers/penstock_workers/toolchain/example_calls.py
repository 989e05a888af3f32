"""The calls by which an author says what a plugin must do, read and run in the sandbox.

They are tables of `plugin.toml` or of `examples.toml`, or of both. Each `[[example]]` has `tool`, `params`,
and one of `expected` (the data), `expected_json` (the same as JSON text, for what TOML cannot say, such as
null) or `error` (a code; `message` must be in the failure's).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from penstock_plugins.bundle import MANIFEST_NAME
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BuildError, ToolError
from penstock_plugins.manifest import read_manifest
from penstock_plugins.result import ToolFailure, ToolResult
from penstock_workers.toolchain.sources import read_plain

EXAMPLES_NAME = "examples.toml"


class Example(BaseModel):
    """One call, and what must come of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    params: dict[str, Any] = Field(default_factory=dict)
    expected: Any = None
    expected_json: str | None = None
    error: ErrorCode | None = None
    message: str | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> Example:
        if len(self.model_fields_set & {"expected", "expected_json", "error"}) != 1:
            raise ValueError("give one of expected, expected_json and error")
        if self.message is not None and self.error is None:
            raise ValueError("message goes with error")
        if self.expected_json is not None:
            try:
                orjson.loads(self.expected_json)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"expected_json is no JSON: {error}") from error
        if why := _why_no_json([self.params, self.expected]):
            raise ValueError(why)
        return self

    def data(self) -> Any:
        """The expected data."""
        return self.expected if self.expected_json is None else orjson.loads(self.expected_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An example, and what came of it."""

    example: Example
    result: ToolResult
    #: What is different from what was expected. Empty: nothing.
    difference: str


class Runner(Protocol):
    """What calls tools, such as `Executor.local`."""

    def run(self, tool: str, params: dict[str, Any]) -> ToolResult:
        """Call one."""


def read_examples(folder: Path) -> list[Example]:
    """The examples of a plugin's folder: those of its manifest, then those of the file.

    Raises:
        ManifestError: the manifest cannot be used.
        BuildError: examples cannot be used, with every problem; or both places have the same call.
    """
    manifest, file = folder / MANIFEST_NAME, folder / EXAMPLES_NAME
    of_manifest = _read_tables(_tables_of_manifest(manifest), manifest)
    of_file = _read_tables(_tables_of_file(file), file)
    calls = {_call(example): number for number, example in enumerate(of_manifest, start=1)}
    doubled = [
        f"example {number} is the same call of {example.tool} as [[example]] {calls[_call(example)]} of"
        f" {MANIFEST_NAME}"
        for number, example in enumerate(of_file, start=1)
        if _call(example) in calls
    ]
    if doubled:
        raise BuildError(
            "\n".join([f"{file} repeats what is in {MANIFEST_NAME}: remove one of them", *doubled])
        )
    return of_manifest + of_file


def _tables_of_manifest(path: Path) -> Sequence[object]:
    try:
        return read_manifest(read_plain(path), path=str(path)).examples
    except FileNotFoundError:
        return ()


def _tables_of_file(path: Path) -> Sequence[object]:
    try:
        document = tomllib.loads(read_plain(path).decode())
    except FileNotFoundError:
        return ()
    except (ValueError, RecursionError) as error:
        raise BuildError(f"{path} is no TOML: {error}") from error
    tables = document.pop("example", [])
    if document or not isinstance(tables, list):
        raise BuildError(f"{path} has only tables [[example]]; it also has {', '.join(document) or 'others'}")
    return tables


def _read_tables(tables: Sequence[object], path: Path) -> list[Example]:
    examples, problems = [], []
    for number, table in enumerate(tables, start=1):
        try:
            examples.append(Example.model_validate(table))
        except ValidationError as error:
            problems += [f"example {number}: {_told(problem)}" for problem in error.errors(include_url=False)]
        except (TypeError, ValueError) as error:
            problems.append(f"example {number}: {error}")
    if problems:
        raise BuildError("\n".join([f"{path} cannot be used:", *problems]))
    return examples


def _why_no_json(value: list[Any]) -> str:
    """Why JSON cannot say this, of all that TOML can; empty: it can."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError as error:
        if "datetime" in str(error):
            return "a date or time is no JSON: write it as a text, in quotes"
        return f"it is no JSON: {error}"  # too deep, or too large a number
    return "" if orjson.loads(text) == value else "nan and inf are no JSON"


def _call(example: Example) -> tuple[str, bytes]:
    """What tells calls apart: the tool and its params."""
    return example.tool.rpartition(".")[2], orjson.dumps(example.params, option=orjson.OPT_SORT_KEYS)


def run_examples(examples: list[Example], executor: Runner) -> Iterator[Comparison]:
    """Call each, and compare."""
    for example in examples:
        try:
            result = executor.run(example.tool, example.params)
        except ToolError as error:  # refused before it ran: no such tool
            failure = ToolFailure.from_exception(error)
            result = ToolResult(call_id="", tool=example.tool, success=False, error=failure)
        yield Comparison(example=example, result=result, difference=_difference(example, result))


def _difference(example: Example, result: ToolResult) -> str:
    if example.error is None:
        if result.error is not None:
            return f"it failed with {result.error.code}: {result.error.message}"
        return _first_difference(example.data(), result.data, "data")
    if result.error is None:
        return f"it succeeded; expected {example.error}"
    if result.error.code != example.error:
        return f"its error is {result.error.code} ({result.error.message}); expected {example.error}"
    if example.message is not None and example.message not in result.error.message:
        return f"its message is {_json(result.error.message)}; expected {_json(example.message)} in it"
    return ""


def _first_difference(expected: Any, found: Any, where: str) -> str:
    """The first place where two JSON values differ, in words."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected:
            if key not in found:
                return f"{where} has no {key!r}"
            if difference := _first_difference(expected[key], found[key], f"{where}.{key}"):
                return difference
        extra = [key for key in found if key not in expected]
        return f"{where} has {extra[0]!r}, which is not expected" if extra else ""
    if isinstance(expected, list) and isinstance(found, list):
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            if difference := _first_difference(one, other, f"{where}[{index}]"):
                return difference
        return (
            "" if len(expected) == len(found) else f"{where} has {len(found)} items; expected {len(expected)}"
        )
    # 1 and 1.0 are the same number in JSON, true is none.
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return "" if same else f"{where} is {_json(found)}; expected {_json(expected)}"


def _json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 300 else f"{text[:300]}…"


def _told(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such key; there are {', '.join(Example.model_fields)}"
    if problem["type"] == "missing":
        return f"{where} is required"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
