"""What is wrong with a pipeline, in words: which step, which key, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from penstock_plugins.manifest_tool import RetryTable
from penstock_plugins.pipelines.model_steps import KINDS, STEP_MODELS, Compensation
from penstock_plugins.printable import printable

#: Problems that one error carries.
MAX_PROBLEMS = 100
#: What to write, by pydantic's name of the problem.
_ADVICE = {
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be a list of steps",
    "string_too_short": "must not be empty",
    "missing": "is required",
}
_COMMON = ("name", "when", "stop_when")
#: What stands inside a step and has keys of its own.
_TABLES: dict[int | str, type[BaseModel]] = {"compensate": Compensation, "retry": RetryTable}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a pipeline."""

    #: The way to it, as `steps[1].if_true[0].params.text`; "" is the whole.
    path: str
    #: The step's name, or else its tool or kind. "": none in particular.
    step: str
    message: str

    def __str__(self) -> str:
        named = f" ({printable(self.step, 80)})" if self.step else ""
        return f"{self.path}{named}: {self.message}" if self.path else self.message


def problems_in(error: ValidationError, shape: object, keys: tuple[str, ...]) -> list[Problem]:
    """Everything that pydantic found.

    Args:
        error: its error.
        shape: what was read, which gives steps their names.
        keys: those of the whole.
    """
    found = error.errors(include_url=False, include_context=True, include_input=False)
    problems = [_problem(item, shape, keys) for item in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        problems.append(Problem(path="", step="", message=f"and {len(found) - MAX_PROBLEMS} more"))
    return problems


def _problem(item: Any, shape: object, keys: tuple[str, ...]) -> Problem:
    location = list(_without_tags(item["loc"]))
    path, step = "", ""
    at: Any = shape
    for part, tag in location:
        if tag:
            keys = _keys_of(tag)
            step = _label(at)
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{printable(part, 80)}"
        at = _inside(at, part)
        if part in _TABLES:
            keys = tuple(_TABLES[part].model_fields)
    if not step or isinstance(location[-1][0], int):
        step = _label(at) or step
    message = _message(item, keys)
    if item["type"] == "step_kind":
        message += _other_kind(at)
    return Problem(path=path.lstrip("."), step=step, message=message)


def _other_kind(step: Any) -> str:
    """What there is instead of one key that says which kind a step is, where that helps."""
    if not isinstance(step, dict):
        return ""
    if found := [kind for kind in KINDS if kind in step]:
        return f"; this one has {' and '.join(found)}"
    for key in step:
        if close := difflib.get_close_matches(str(key), KINDS, n=1):
            return f"; did you mean {close[0]} for {printable(key, 80)}?"
    return f"; this one has {printable(', '.join(map(str, step)), 80)}" if step else ""


def _message(item: Any, keys: tuple[str, ...]) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        key = printable(item["loc"][-1], 80)
        close = difflib.get_close_matches(key, keys, n=1)
        return (
            f"no such key; did you mean {close[0]}?" if close else f"no such key; there are {', '.join(keys)}"
        )
    if kind in _ADVICE:
        return _ADVICE[kind]
    return printable(str(item["msg"]).removeprefix("Value error, "), 400)


def _without_tags(location: tuple[int | str, ...]) -> Iterator[tuple[int | str, str]]:
    """Each part of the way, or the kind of step that pydantic says after a step's number."""
    after_number = False
    for part in location:
        if after_number and part in KINDS:
            yield "", str(part)
            after_number = False
            continue
        if part != "[key]":
            yield part, ""
        after_number = isinstance(part, int)


def _inside(value: Any, part: int | str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
        return value[part]
    return getattr(value, str(part), None) if isinstance(part, str) else None


def _label(step: Any) -> str:
    """How a step that may be no step at all is called in messages."""
    if not isinstance(step, dict):
        label = getattr(step, "label", "")
        return label if isinstance(label, str) else ""
    named = step.get("name") or step.get("tool")
    if isinstance(named, str):
        return named
    return next((kind for kind in KINDS if kind in step), "")


def _keys_of(kind: str) -> tuple[str, ...]:
    own = [key for key in STEP_MODELS[kind].model_fields if key not in _COMMON]
    return (*own, *_COMMON)
