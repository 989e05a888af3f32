"""The files of one plugin, as they travel: few, plain, capped, and named by their digest (I-5, P-6)."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from penstock_plugins.errors import BundleError, ManifestError
from penstock_plugins.limits import MIB
from penstock_plugins.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from penstock_plugins.packed import PACKED_SUFFIX, unpack

MANIFEST_NAME = "plugin.toml"
#: Bytes of all files of a bundle.
MAX_BUNDLE_BYTES = 64 * MIB
#: What travels beside the manifest and the artifact, when it is there. Sources and build outputs do not.
COMPANIONS = ("README.md", "LICENSE")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Windows has none of these; it has O_BINARY.
_NOT_FOLLOWING = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


class FileEntry(NamedTuple):
    """One file of a bundle, as its digest sees it."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A plugin's files and what they amount to."""

    #: sha256 over the sorted files, as 64 hex digits: the plugin's name everywhere it matters.
    digest: str
    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def entries(self) -> tuple[FileEntry, ...]:
        """The files, sorted by path."""
        return file_entries(self.files)


def file_entries(files: Mapping[str, bytes]) -> tuple[FileEntry, ...]:
    """Path, size and sha256 of each file, sorted by path."""
    return tuple(
        FileEntry(path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for path, content in sorted(files.items())
    )


def is_digest(text: str) -> bool:
    """Whether the text can be a digest: 64 hex digits, in lower case."""
    return _DIGEST.fullmatch(text) is not None


def bundle_digest(entries: Iterable[FileEntry]) -> str:
    """sha256 over the sorted list of (path, size, sha256), as 64 hex digits."""
    total = hashlib.sha256()
    for entry in sorted(entries, key=lambda e: e.path):
        total.update(f"{entry.path}\0{entry.size_bytes}\0{entry.sha256}\n".encode())
    return total.hexdigest()


def bundle_from(files: Mapping[str, bytes], *, path: str = MANIFEST_NAME) -> Bundle:
    """The bundle that these files are.

    Args:
        files: by path.
        path: of the manifest, for messages.

    Raises:
        ManifestError: the manifest cannot be used.
        BundleError: the files are too many or too large, or the artifact is missing.
    """
    size = sum(map(len, files.values()))
    if size > MAX_BUNDLE_BYTES:
        raise BundleError(f"The plugin has {size} bytes; at most {MAX_BUNDLE_BYTES} travel")
    if MANIFEST_NAME not in files:
        raise ManifestError(f"Plugin manifest not found: {path}")
    manifest = read_manifest(files[MANIFEST_NAME], path=path)
    unknown = set(files) - {MANIFEST_NAME, *manifest.artifacts, *COMPANIONS}
    if unknown:
        raise BundleError(f"A bundle has no file {sorted(unknown)[0]!r}")
    for name in manifest.artifacts:
        if name not in files:
            advice = "write it beside" if manifest.composite else "build the plugin first"
            raise BundleError(f"{path} names {name}, and there is no such file: {advice}")
    return Bundle(digest=bundle_digest(file_entries(files)), manifest=manifest, files=dict(files))


def read_bundle(folder: Path) -> Bundle:
    """Read a plugin's folder. Its artifact may be there compressed; what is read is the same.

    Raises:
        ManifestError: the manifest is missing or cannot be used.
        BundleError: a file is missing, no regular file, or too large.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder} is no folder: name a plugin's folder, which has a {MANIFEST_NAME}")
    path = str(folder / MANIFEST_NAME)
    raw = _read(folder, MANIFEST_NAME, MAX_MANIFEST_BYTES + 1)
    if raw is None:
        raise ManifestError(f"Plugin manifest not found: {path}")
    files = {MANIFEST_NAME: raw}
    manifest = read_manifest(raw, path=path)
    for name in (*manifest.artifacts, *COMPANIONS):
        content = _read(folder, name, MAX_BUNDLE_BYTES)
        if content is not None:
            files[name] = content
    if manifest.composite is None and (module := manifest.wasm.module) not in files:
        packed = _read(folder, module + PACKED_SUFFIX, MAX_BUNDLE_BYTES)
        if packed is not None:
            where = str(folder / module) + PACKED_SUFFIX
            files[module] = unpack(packed, max_bytes=MAX_BUNDLE_BYTES, path=where)
    return bundle_from(files, path=path)


def _read(folder: Path, name: str, max_bytes: int) -> bytes | None:
    """A plain file of the folder; None when it is not there. Links are not followed out of it."""
    path = folder / name
    try:
        if path.is_symlink():
            raise BundleError(f"{path} is a link: put the file itself into the plugin's folder")
        # Not following, should it become a link just now; not blocking: a FIFO must not hold us up.
        fd = os.open(path, os.O_RDONLY | _NOT_FOLLOWING)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise BundleError(f"{path} is no regular file")
        if about.st_size > max_bytes:
            raise BundleError(f"{path} has {about.st_size} bytes; at most {max_bytes} are read")
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
