"""Writes the small project that an author begins with: it builds, checks and tests as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from penstock_plugins.errors import BuildError
from penstock_plugins.manifest import NAME
from penstock_workers.toolchain.sources import Language

#: The C library that a plugin in C is built with.
Libc = Literal["none", "wasi"]

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".template"

_PYTHON_LIMITS = """
[wasm.limits]
# Python as a component has about forty parts, and begins with 30 MB.
instances = 64
memory_bytes = 268435456
"""

_BATCH = """
# Calls of one batch may share an instance: nothing that one leaves behind may change what the next returns.
batch_entry_point = true"""

_WASI_LIBC = """
[build]
# wasi-libc is inside: <stdio.h>, <stdlib.h>, <string.h>, <math.h> and their like.
libc = "wasi"
"""

_WORDS: dict[Language, dict[str, str]] = {
    "c": {"language": "C", "entry": "src/plugin.c", "limits": ""},
    "js": {"language": "JavaScript", "entry": "src/plugin.js", "limits": ""},
    "python": {"language": "Python", "entry": "src/plugin.py", "limits": _PYTHON_LIMITS},
}


def new_plugin(
    name: str, language: Language, folder: Path, *, batch: bool = False, libc: Libc = "none"
) -> list[Path]:
    """Write a new project.

    Args:
        name: of the plugin.
        language: what it will be written in.
        folder: is made; may be there when it is empty.
        batch: give it a batch entry point.
        libc: the C library of a plugin in C.

    Returns:
        The files.

    Raises:
        BuildError: the name is none, there is something in the folder already, or the choices do not go
            together. Nothing was written.
    """
    if not NAME.fullmatch(name):
        raise BuildError(
            f"{name!r} is no name for a plugin: "
            "begin with a lower-case letter and use lower-case letters, digits, - and _"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BuildError(f"{folder} is there already: choose another name, or another folder with --into")
    if libc != "none" and (language != "c" or batch):
        raise BuildError("A C library is for plugins in C without a batch entry point: leave out --libc")
    build = _WASI_LIBC if libc == "wasi" else ""
    words = {"name": name, "batch": _BATCH if batch else "", "build": build, **_WORDS[language]}
    written = []
    for path, template in _templates(language if libc == "none" else f"{language}-{libc}"):
        text = re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], template)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        written.append(target)
    return sorted(written)


def _templates(variant: str) -> Iterator[tuple[Path, str]]:
    """Path in the project, and text, of each file."""
    for root in (_TEMPLATES / "common", _TEMPLATES / variant):
        for template in sorted(root.rglob(f"*{_SUFFIX}")):
            path = template.relative_to(root).with_name(template.name.removesuffix(_SUFFIX))
            yield (path.with_name(".gitignore") if path.name == "gitignore" else path), template.read_text()
