"""Our own documents, for `markdown.to_html`: those of the source tree, or else of the package."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock_plugins.shipped import shipped_plugins

#: Folders of a source tree that hold what others wrote.
_NOT_OURS = frozenset({"node_modules", "build", "dist", "site-packages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Markdown files of one folder."""

    #: Where they are from, for people.
    origin: str
    folder: Path
    paths: Sequence[Path]


def own_documents(unpacked: Path) -> Documents:
    """The documents that there are.

    A source tree has a README.md in each folder, a guide and a changelog. A wheel has the README.md as its
    description, and one beside the shipped plugins.

    Args:
        unpacked: an empty folder for documents that are no files of their own.
    """
    tree = source_tree()
    if tree is not None:
        return Documents(origin="this source tree", folder=tree, paths=_markdown(tree))
    (unpacked / "README.md").write_text(_description(), encoding="utf-8")
    for path in _markdown(shipped_plugins()):
        copy = unpacked / "plugins" / path.relative_to(shipped_plugins())
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return Documents(origin="the installed package", folder=unpacked, paths=_markdown(unpacked))


def source_tree() -> Path | None:
    """The root of the source tree that this runs from; None for an installed wheel."""
    root = shipped_plugins().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "README.md").is_file() else None


def _markdown(root: Path) -> list[Path]:
    found: list[Path] = []
    for where, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS and not name.startswith("."))
        found += [Path(where, name) for name in names if name.endswith(".md")]
    return sorted(found, key=lambda path: (len(path.relative_to(root).parts), path))


def _description() -> str:
    return str(importlib.metadata.metadata("penstock").json.get("description", ""))
