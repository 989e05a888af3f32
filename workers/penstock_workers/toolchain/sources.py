"""A plugin's folder as its builder sees it: which language it is written in, and where its artifact goes."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Literal

from penstock_plugins.bundle import MANIFEST_NAME
from penstock_plugins.errors import BuildError, ManifestError
from penstock_plugins.manifest import Manifest, read_manifest
from penstock_plugins.packed import PACKED_SUFFIX, pack

Language = Literal["c", "js", "python"]

#: The file that says which language a plugin is written in. C needs no particular one.
ENTRIES: dict[Language, str] = {"js": "src/plugin.js", "python": "src/plugin.py"}


def language_of(folder: Path) -> Language:
    """The language that a plugin is written in.

    Raises:
        BuildError: there are no sources.
    """
    for language, entry in ENTRIES.items():
        if (folder / entry).is_file():
            return language
    if any((folder / "src").glob("**/*.c")):
        return "c"
    raise BuildError(
        f"There is nothing to build in {folder}: no src/plugin.py, no src/plugin.js and no C files in src/."
    )


def component_manifest(folder: Path) -> Manifest:
    """The manifest of a plugin that becomes a component.

    Raises:
        ManifestError: it is missing or cannot be used.
        BuildError: it says that the plugin is something else, or is no regular file.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = read_manifest(read_plain(path), path=str(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ManifestError(f"Plugin manifest not found: {path}") from error
    if manifest.composite is not None:
        raise BuildError(f"{path} has [composite]: its tools are pipelines, and there is nothing to build.")
    if manifest.kind != "component":
        raise BuildError(f"{path} says kind = {manifest.kind!r}; what is built is a component.")
    return manifest


def read_plain(path: Path) -> bytes:
    """A file that somebody may have put there as something else; a FIFO must not hold us up.

    Raises:
        BuildError: it is no regular file.
        OSError: it is not there, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BuildError(f"{path} is no regular file.")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def has_batch_entry_point(manifest: Manifest) -> bool:
    """Whether a plugin is built with a batch entry point: one of its tools asks for it."""
    return any(tool.batch_entry_point for tool in manifest.tools)


def write_artifact(artifact: Path, component: bytes, *, packed: bool = False) -> Path:
    """Write an artifact, in one step: nobody ever reads half of it.

    Args:
        artifact: its path, as the manifest names it.
        component: what it is.
        packed: write it compressed; so it is as well when a compressed one is there to replace.

    Returns:
        What was written.

    Raises:
        BuildError: it cannot be written there.
    """
    small = artifact.with_name(artifact.name + PACKED_SUFFIX)
    if packed or small.exists():
        _replace(small, pack(component))
        artifact.unlink(missing_ok=True)
        return small
    _replace(artifact, component)
    return artifact


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise BuildError(f"{path} cannot be written: {error.strerror}") from error
