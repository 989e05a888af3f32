"""What `penstock` exports."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import penstock


def test_every_exported_name_is_there() -> None:
    """Each is found where the door says it lives."""
    found = {name: getattr(penstock, name) for name in penstock.__all__}

    assert all(value is not None for value in found.values())
    assert set(dir(penstock)) == {*penstock.__all__, "__version__"}


def test_type_checkers_see_what_runs() -> None:
    """The names for type checkers and the names at run time are written twice: they must agree."""
    tree = ast.parse(Path(penstock.__file__).read_text())
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }

    assert typed == set(penstock.__all__) == set(penstock._HOME_OF)


def test_the_version_is_the_distributions() -> None:
    """Written once, in pyproject.toml."""
    assert penstock.__version__ == version("penstock")


def test_an_unknown_name_is_refused_as_python_does() -> None:
    """`hasattr` and `from penstock import …` rely on it."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = getattr(penstock, "nothing")  # noqa: B009  # mypy refuses the plain spelling
