"""Params from the command line: `key=value` pairs typed by the tool's schema, or JSON as it is.

    text=hello         a value of the type that the schema gives `text`
    limit:=[1,2]       JSON, whatever the schema says
    text=@notes.txt    the content of a file, as text (a value that begins with @ is written @@)

Pure but for reading the files that are named; all of it happens before anything is connected to, except for
the typing, which needs the schema.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer

_PAIR = re.compile(r"(?P<key>[^=:@][^=]*?)(?P<how>:=|=)(?P<value>.*)", re.DOTALL)
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
#: How deep `$ref` may lead to `$ref`.
_DEEPEST_REF = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One `key=value`."""

    key: str
    #: Text to be typed by the schema; or a finished value.
    value: Any
    #: Whether `value` is finished: JSON, or the content of a file.
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RawParams:
    """What the command line said, read but not typed."""

    #: The value of `--params`. None: not given.
    whole: dict[str, Any] | None
    pairs: tuple[Pair, ...]

    def typed(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The params, with each pair's text typed by its property in the schema; pairs win over `--params`.

        What does not fit stays a text: the schema's own check says then what is wrong, with its path.
        """
        params = dict(self.whole or {})
        given: set[str] = set()
        for pair in self.pairs:
            kinds, items = _kinds(schema, pair.key)
            if pair.finished:
                value = pair.value
            elif kinds == {"array"} and not pair.value.lstrip().startswith("["):
                value = [_typed(pair.value, items)]  # tag=a tag=b
            else:
                value = _typed(pair.value, kinds)
            if pair.key in given:
                if (
                    kinds != {"array"}
                    or not isinstance(value, list)
                    or not isinstance(params[pair.key], list)
                ):
                    raise typer.BadParameter(f"{pair.key} is given twice")
                value = [*params[pair.key], *value]
            given.add(pair.key)
            params[pair.key] = value
        return params


def read_params(pairs: Sequence[str], whole: str | None) -> RawParams:
    """Read what the command line said, files and standard input included.

    Args:
        pairs: the `key=value` arguments.
        whole: the value of `--params`: JSON, `@file`, or `-` for standard input.

    Raises:
        typer.BadParameter: something is not as it should be written, or a file cannot be read.
    """
    return RawParams(
        whole=_whole(whole) if whole is not None else None, pairs=tuple(_pair(text) for text in pairs)
    )


def _whole(text: str) -> dict[str, Any]:
    if text == "-":
        where, raw = "standard input", sys.stdin.buffer.read()
    elif text.startswith("@"):
        where, raw = text[1:], _file(text[1:])
    else:
        where, raw = "--params", text.encode(errors="surrogateescape")
    value = _json(raw, where)
    if not isinstance(value, dict):
        raise typer.BadParameter(f'{where} must hold a JSON object such as {{"text": "hello"}}')
    return value


def _pair(text: str) -> Pair:
    match = _PAIR.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not key=value (for JSON use --params, or key:=JSON)")
    key, value = match["key"], match["value"]
    if match["how"] == ":=":
        raw = _file(value[1:]) if value.startswith("@") else value.encode(errors="surrogateescape")
        return Pair(key=key, value=_json(raw, f"{key}:="), finished=True)
    if value.startswith("@@"):
        return Pair(key=key, value=value[1:], finished=False)
    if value.startswith("@"):
        return Pair(key=key, value=_file(value[1:]).decode(errors="replace"), finished=True)
    return Pair(key=key, value=value, finished=False)


def _file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{name}: {error.strerror}") from error


def _json(raw: bytes, where: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"{where} is not JSON: {error}") from error


def _kinds(schema: Mapping[str, Any], key: str) -> tuple[set[str], set[str]]:
    """The JSON types that a property may have, and those of its items; empty: the schema does not say."""
    properties = schema.get("properties")
    found = properties.get(key) if isinstance(properties, dict) else None
    if found is None:
        found = schema.get("additionalProperties")
    found = _followed(schema, found)
    return _types(schema, found), _types(schema, _followed(schema, found.get("items")))


def _types(root: Mapping[str, Any], schema: Mapping[str, Any]) -> set[str]:
    said = schema.get("type")
    if isinstance(said, str):
        return {said}
    if isinstance(said, list):
        return {kind for kind in said if isinstance(kind, str)}
    if "const" in schema or isinstance(schema.get("enum"), list):
        values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]]
        return {_type_of(value) for value in values}
    kinds: set[str] = set()
    for name in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(name) or ():
            kinds |= _types(root, _followed(root, branch))
    return kinds


def _followed(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """The schema that a chain of local references leads to; an empty one when it leads nowhere."""
    for _ in range(_DEEPEST_REF):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        if not reference.startswith("#/"):
            return {}
        schema = root
        for step in reference[2:].split("/"):
            schema = (
                schema.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(schema, dict) else None
            )
    return {}


def _typed(text: str, kinds: set[str]) -> Any:
    """The text as the first type it fits, the narrow ones first; as itself when it fits none."""
    lowered = text.lower()
    if (
        "boolean" in kinds
        and lowered in _TRUE | _FALSE
        and not (kinds & {"integer", "number"} and text in "01")
    ):
        return lowered in _TRUE
    if "null" in kinds and lowered == "null":
        return None
    if kinds & {"integer", "number"} or not kinds or kinds & {"object", "array"}:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
        return value if not kinds or _fits(value, kinds) else text
    return text


def _fits(value: Any, kinds: set[str]) -> bool:
    kind = _type_of(value)
    return (
        kind in kinds
        or (kind == "integer" and "number" in kinds)
        or (kind == "number" and "integer" in kinds and value.is_integer())
    )


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
