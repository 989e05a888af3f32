"""Where the plugins and the worlds are that come with Penstock: in the wheel, or in the source tree."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped_plugins() -> Path:
    """The folder whose folders are the shipped plugins."""
    return _place("examples")


def wit_folder() -> Path:
    """The folder with the WIT of the worlds that plugins implement."""
    return _place("wit")


def _place(name: str) -> Path:
    # The wheel carries it inside the package; an editable install finds it beside.
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
