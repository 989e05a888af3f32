"""Checks params against a tool's JSON Schema, compiled once; every violation with its path (T-4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs
import orjson

from penstock_plugins.errors import ManifestError, ParamsError
from penstock_plugins.printable import printable

#: Violations that an error carries, and that its message shows.
MAX_VIOLATIONS = 100
_SHOWN = 3
#: Characters of one violation's message; it may quote the value.
_MESSAGE_CHARS = 300
#: What a pattern may cost: schemas come from guests and are used outside the sandbox.
_PATTERNS = jsonschema_rs.FancyRegexOptions(
    backtrack_limit=100_000, size_limit=1 << 20, dfa_size_limit=1 << 20
)
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_-]*")


class ParamsSchema:
    """The schema of one tool's params."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """
        Args:
            parameters: JSON Schema 2020-12 whose type is object.

        Raises:
            ManifestError: it is no such schema.
        """
        self._validator = _compile(parameters)
        self._is_valid = self._validator.is_valid

    def errors(self, params: object) -> Iterator[jsonschema_rs.ValidationError]:
        """Every violation as the library has it.

        Raises:
            ValueError: they are no JSON.
        """
        return self._validator.iter_errors(params)

    def violations(self, params: object) -> list[dict[str, str]]:
        """Every violation as `{path, message}`, at most `MAX_VIOLATIONS`."""
        try:
            return [
                {"path": _path(error.instance_path), "message": printable(error.message, _MESSAGE_CHARS)}
                for error in islice(self._validator.iter_errors(params), MAX_VIOLATIONS)
            ]
        except ValueError as error:  # a key that is no text, or text that is no Unicode
            return [{"path": "$", "message": f"no JSON: {printable(error, _MESSAGE_CHARS)}"}]

    def check(self, params: object) -> None:
        """Refuse params that do not fit.

        Args:
            params: JSON values, as `orjson.loads` gives them.

        Raises:
            ParamsError: they do not; `details["errors"]` has every violation.
        """
        try:
            if self._is_valid(params):
                return
        except ValueError:
            pass  # `violations` says why
        self._refuse(params)

    def _refuse(self, params: object) -> NoReturn:
        found = self.violations(params)
        shown = "; ".join(f"{v['path']}: {v['message']}" for v in found[:_SHOWN])
        if len(found) > _SHOWN:
            least = "at least " if len(found) == MAX_VIOLATIONS else ""
            shown += f"; and {least}{len(found) - _SHOWN} more"
        raise ParamsError(f"The params do not fit the tool's schema: {shown}", {"errors": found})


def check_schema(parameters: object) -> None:
    """Refuse what is no schema of params.

    Raises:
        ManifestError: it is no JSON Schema 2020-12 of type object, or refers to other documents.
    """
    _compile(parameters)
    try:
        orjson.dumps(parameters)
    except TypeError as error:  # too deep, or a number that JSON readers do not agree on
        raise ManifestError(f"the schema cannot travel as JSON: {printable(error)}") from error


def _compile(parameters: object) -> jsonschema_rs.Draft202012Validator:
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        raise ManifestError('the schema must be a JSON Schema with "type": "object"')
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(parameters), retriever=_refuse_remote, pattern_options=_PATTERNS
        )
    except jsonschema_rs.ValidationError as error:
        where = _path(error.instance_path)
        raise ManifestError(
            f"the schema is no JSON Schema: {where}: {printable(error.message, _MESSAGE_CHARS)}"
        ) from error
    except ValueError as error:
        raise ManifestError(f"the schema is no JSON Schema: {printable(error, _MESSAGE_CHARS)}") from error


def _refuse_remote(uri: str) -> NoReturn:
    raise ValueError(f"references to other documents are not followed: {uri[:200]}")


def _path(parts: list[str | int]) -> str:
    """A JSON path; keys that are no plain words stand in brackets."""
    spelled = ["$"]
    for part in parts:
        if isinstance(part, int):
            spelled.append(f"[{part}]")
        elif _PLAIN_KEY.fullmatch(part):
            spelled.append(f".{part}")
        else:
            spelled.append(f"[{orjson.dumps(printable(part, 100)).decode()}]")
    return "".join(spelled)
