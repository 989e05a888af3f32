"""Source text to syntax tree."""

from __future__ import annotations

import ast

from penstock_plugin import Failure


def parse(source: str) -> ast.Module:
    """The module's tree.

    Raises:
        Failure: it is no Python; with the place.
    """
    try:
        return ast.parse(source)
    except SyntaxError as error:
        place = {"line": error.lineno or 1, "column": error.offset or 1}
        raise Failure(f"line {place['line']}: {error.msg}", code="VALIDATION_ERROR", details=place) from error
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; brackets nested too deeply
        raise Failure(f"The source cannot be parsed: {error}", code="VALIDATION_ERROR") from error
