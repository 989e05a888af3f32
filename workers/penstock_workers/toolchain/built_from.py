"""Remembers what an artifact was built from, so that one which is older than its sources is told.

By content and not by time: a checkout gives files any time. What is remembered is in the cache and may be
deleted; of an artifact that was not built here nothing is known, and nothing is said.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from penstock_plugins.errors import PenstockError
from penstock_plugins.manifest import Manifest
from penstock_plugins.packed import PACKED_SUFFIX
from penstock_workers.toolchain.sources import component_manifest, language_of
from penstock_workers.toolchain.toolchains import toolchain_cache
from penstock_workers.toolchain.watching import source_files

#: Plugin folders of which it is remembered what their artifacts were built from.
_KEPT = 500


def digest_of_sources(folder: Path) -> str:
    """sha256 over the sources, and over what a build takes from the manifest.

    Raises:
        ManifestError: the manifest is missing or cannot be used.
        BuildError: there is nothing to build.
    """
    language = language_of(folder)
    total = hashlib.sha256(f"{language}\0{_what_a_build_takes(component_manifest(folder))}".encode())
    for path in sorted(source_files(folder)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"\0{path.relative_to(folder).as_posix()}\0{content}".encode())
    return total.hexdigest()


def remember(folder: Path, artifact: Path, sources: str) -> None:
    """Write down that the artifact was built from sources with that digest."""
    note = {"artifact": _sha256(artifact), "sources": sources}
    path = _note_of(folder)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(note))
    _forget_the_oldest(path.parent)


def stale(folder: Path) -> str:
    """That the artifact was built here from other sources, and what to do. Empty: nothing to say."""
    try:
        note = json.loads(_note_of(folder).read_bytes())
        module = component_manifest(folder).wasm.module
        artifact = next(
            path for path in (folder / module, folder / f"{module}{PACKED_SUFFIX}") if path.is_file()
        )
        if note["artifact"] != _sha256(artifact) or note["sources"] == digest_of_sources(folder):
            return ""
    except (OSError, ValueError, KeyError, TypeError, StopIteration, PenstockError):
        return ""
    return f"The sources have changed since {artifact.name} was built: run `penstock plugin build`"


def _what_a_build_takes(manifest: Manifest) -> str:
    batches = any(tool.batch_entry_point for tool in manifest.tools)
    asked = sorted(manifest.wasm.capabilities)
    return f"{manifest.name} {manifest.version} {asked} {batches} {manifest.build.libc}"


def _forget_the_oldest(notes: Path) -> None:
    """Folders come and go, and nobody says that they went."""
    dated = []
    for path in notes.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another build forgets as well
            dated.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(dated)[:-_KEPT]:
        path.unlink(missing_ok=True)


def _note_of(folder: Path) -> Path:
    return toolchain_cache() / "built" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
