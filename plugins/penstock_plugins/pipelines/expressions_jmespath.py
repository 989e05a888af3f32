"""JMESPath for references and templates (L-3): one expression, compiled.

An expression names what it means (`data.files[*].name`), never all there is (`@`). Most are plain paths and
do without the library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock_plugins.pipelines.expressions_bounds import Budget
from penstock_plugins.pipelines.expressions_paths import Path, check_root, value_at

_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d{1,9}\])*", re.ASCII)
_PARTS = re.compile(r"\w+", re.ASCII)


class Reference:
    """One expression, compiled.

    Args:
        text: it.

    Raises:
        ValueError: it is none, or could cost too much.
    """

    __slots__ = ("_evaluate", "_tree", "certain", "paths", "plain")

    def __init__(self, text: str) -> None:
        self._tree: Any = None
        self._evaluate: Callable[[Any, Mapping[str, Any], Budget], Any]
        #: The ways that must lead somewhere.
        self.certain: tuple[Path, ...]
        #: Every way from a root that it names.
        self.paths: tuple[Path, ...]
        #: The way that is all of it. None: it is more than a way.
        self.plain: Path | None = None
        if _PLAIN_PATH.fullmatch(text):
            self.plain = tuple(int(part) if part[0].isdigit() else part for part in _PARTS.findall(text))
            check_root(self.plain[0])
            self.paths = self.certain = (self.plain,)
            return
        # Imported here: so are those who only submit calls spared the library.
        from penstock_plugins.pipelines.expressions_interpreter import evaluate, parse
        from penstock_plugins.pipelines.expressions_ways import ways_of

        self._evaluate = evaluate
        self._tree = parse(text)
        ways = ways_of(self._tree)
        self.paths = tuple(way.path for way in ways)
        self.certain = tuple(way.path for way in ways if way.required)

    def read(self, env: Mapping[str, Any], budget: Budget) -> Any:
        """Its value, which may be a part of what was given: treat both as frozen.

        Raises:
            MissingPathError: a way that it names leads nowhere.
            TooLargeError: it would cost too much.
            ValueError: it has no value; says why.
        """
        if self.plain is not None:
            return value_at(self.plain, env)
        for path in self.certain:
            value_at(path, env)
        return self._evaluate(self._tree, env, budget)
