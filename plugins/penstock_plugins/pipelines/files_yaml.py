"""YAML for pipelines: JSON's values only. No aliases, which can repeat without end; no tags; no doubled keys.

Plain words are read as in JSON: `yes`, `12:30` and `2026-01-01` are texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from penstock_plugins.printable import printable

_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_BEGINNINGS = (yaml.AliasEvent, yaml.ScalarEvent, yaml.SequenceStartEvent, yaml.MappingStartEvent)


def load(text: str, *, max_nesting: int) -> Any:
    """The value of a document.

    Raises:
        ValueError: it is no YAML, or has what is not read; says where.
    """
    try:
        return _document(_events(text), max_nesting)
    except yaml.YAMLError as error:
        raise ValueError(_in_words(error)) from error


def _events(text: str) -> Iterator[Any]:
    # libyaml's, where PyYAML was built with it, is 10 times faster.
    return yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _document(events: Iterator[Any], max_nesting: int) -> Any:
    found: list[Any] = []
    for event in events:
        if isinstance(event, _BEGINNINGS):
            if found:
                raise _refused("there is more than one document", event)
            found.append(_value(event, events, max_nesting))
    return found[0] if found else None


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _refused("anchors and aliases are not read: write it out", event)
    if event.tag is not None and event.tag != "!":
        raise _refused("tags are not read: write a text that begins with ! in quotes", event)
    if isinstance(event, yaml.ScalarEvent):
        return event.value if event.style or event.tag else _plain(event)
    if depth <= 0:
        raise _refused("nested too deep", event)
    if isinstance(event, yaml.SequenceStartEvent):
        return [_value(item, events, depth - 1) for item in _until(yaml.SequenceEndEvent, events)]
    return _table(events, depth - 1)


def _table(events: Iterator[Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in _until(yaml.MappingEndEvent, events):
        key = _value(event, events, depth)
        if isinstance(key, dict):
            raise _refused('a table is no key: write a template in quotes, as "{{data}}"', event)
        if not isinstance(key, str):
            raise _refused(f"the key {printable(key, 40)} is no text: write it in quotes", event)
        if key in found:
            raise _refused(f"the key {printable(key, 80)} is there twice in one table", event)
        found[key] = _value(next(events), events, depth)
    return found


def _until(end: type, events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if isinstance(event, end):
            return
        yield event


def _plain(event: Any) -> Any:
    text = event.value
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > 20:
            raise _refused("a whole number is too large", event)
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _refused(why: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=why, problem_mark=event.start_mark)


def _in_words(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    why = printable(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    return why if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {why}"
