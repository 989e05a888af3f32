"""Pipelines in files: YAML, TOML or JSON, one to a file, read with caps and with all problems at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines.builder import Pipeline
from penstock_plugins.pipelines.model import MAX_PIPELINE_BYTES
from penstock_plugins.printable import printable

#: A larger file is refused unread.
MAX_FILE_BYTES = MAX_PIPELINE_BYTES
#: How deep lists and tables may be inside each other.
_MAX_NESTING = 128
#: Dots in one line of TOML: reading a dotted key takes the square of its parts.
_MAX_DOTS = 500
#: What may stand beside the pipeline in a file: where editors find its schema.
_SCHEMA_KEY = "$schema"


def read_pipeline(path: Path) -> Pipeline:
    """The pipeline in a file.

    Raises:
        InvalidPipelineError: it cannot be used; has every problem.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    return parse_pipeline(raw, path=str(path))


def parse_pipeline(raw: bytes, *, path: str) -> Pipeline:
    """The pipeline in the bytes of a file.

    Args:
        raw: its bytes.
        path: its name, whose ending says what it is: .yaml, .yml, .toml or .json.

    Raises:
        InvalidPipelineError: it cannot be used; has every problem.
    """
    ending = path.rpartition(".")[2].lower()
    read = _READERS.get(ending)
    if read is None:
        raise InvalidPipelineError(
            f"a pipeline's file ends with {', '.join('.' + end for end in _READERS)}", path
        )
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidPipelineError(f"it has more than {MAX_FILE_BYTES} bytes", path)
    try:
        shape = read(raw)
    except UnicodeDecodeError as error:
        raise InvalidPipelineError(f"byte {error.start + 1} is no UTF-8: save it as UTF-8", path) from error
    except (ValueError, RecursionError) as error:
        raise InvalidPipelineError(printable(error, 400) or type(error).__name__, path) from error
    if not isinstance(shape, dict):
        raise InvalidPipelineError("it must be a table with name and steps", path)
    if isinstance(shape.get(_SCHEMA_KEY), str):
        del shape[_SCHEMA_KEY]
    return Pipeline.from_dict(shape, path=path)


def _json(raw: bytes) -> Any:
    import json  # orjson keeps the last of doubled keys

    orjson.loads(raw)  # quick, strict, and bounded in depth
    return json.loads(raw, object_pairs_hook=_table)


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {printable(doubled, 80)!r} is there twice in one table")
    return found


def _toml(raw: bytes) -> Any:
    text = raw.decode()
    if any(line.count(".") > _MAX_DOTS for line in text.split("\n")):
        raise ValueError(f"a line has more than {_MAX_DOTS} dots: break it up")
    return tomllib.loads(text)


def _yaml(raw: bytes) -> Any:
    from penstock_plugins.pipelines.files_yaml import load  # heavy

    return load(raw.decode(), max_nesting=_MAX_NESTING)


#: By the ending of the file's name.
_READERS: dict[str, Callable[[bytes], Any]] = {"yaml": _yaml, "yml": _yaml, "toml": _toml, "json": _json}
