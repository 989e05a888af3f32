"""Checks params against a tool's JSON Schema, compiled once; every violation with its path (T-4)."""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from penstock_plugins.errors import ManifestError, ParamsError

#: Violations that an error carries, and that its message shows.
MAX_VIOLATIONS = 100
_SHOWN = 3
#: Characters of one violation's message; it may quote the value.
_MESSAGE_CHARS = 300


def _refuse_remote(uri: str) -> Any:
    raise ValueError(f"references to other documents are not followed: {uri[:200]}")


class ParamsSchema:
    """The schema of one tool's params."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """
        Args:
            parameters: JSON Schema 2020-12 whose type is object.

        Raises:
            ManifestError: it is no such schema.
        """
        self._validator = _compile(parameters)

    def violations(self, params: object) -> list[dict[str, str]]:
        """Every violation as `{path, message}`, at most `MAX_VIOLATIONS`."""
        found = []
        for error in self._validator.iter_errors(params):
            found.append({"path": _path(error.instance_path), "message": str(error.message)[:_MESSAGE_CHARS]})
            if len(found) == MAX_VIOLATIONS:
                break
        return found

    def check(self, params: object) -> None:
        """Refuse params that do not fit.

        Raises:
            ParamsError: they do not; `details["errors"]` has every violation.
        """
        if self._validator.is_valid(params):
            return
        found = self.violations(params)
        shown = "; ".join(f"{v['path']}: {v['message']}" for v in found[:_SHOWN])
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ParamsError(f"The params do not fit the tool's schema: {shown}{more}", {"errors": found})


def check_schema(parameters: object) -> None:
    """Refuse what is no schema of params.

    Raises:
        ManifestError: it is no JSON Schema 2020-12 of type object, or refers to other documents.
    """
    _compile(parameters)


def _compile(parameters: object) -> jsonschema_rs.Draft202012Validator:
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        raise ManifestError('the schema of the params must be a JSON Schema with "type": "object"')
    try:
        return jsonschema_rs.Draft202012Validator(parameters, retriever=_refuse_remote)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise ManifestError(
            f"the schema of the params is no JSON Schema: {str(error)[:_MESSAGE_CHARS]}"
        ) from error


def _path(parts: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
