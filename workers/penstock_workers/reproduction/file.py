"""A reproduction as one file: a zip with few entries of known names, written the same way each time.

What is read is hostile until proven otherwise. Nothing is unpacked to disk, an entry has exactly one of the
names below, sizes are those that were read and not those that were claimed, and the plugin's bytes must have
the digest that the call was pinned to. Native code is never in it: it is compiled where it runs.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
import zlib
from pathlib import Path

from pydantic import ValidationError

from penstock_plugins.bundle import COMPANIONS, MANIFEST_NAME, MAX_BUNDLE_BYTES, bundle_from
from penstock_plugins.errors import BundleError, ManifestError
from penstock_plugins.limits import MIB
from penstock_plugins.manifest import read_manifest
from penstock_plugins.printable import printable
from penstock_workers.reproduction.case import CASE_VERSION, Case, Reproduction

#: Bytes of the whole file; of the params; of everything else that is no plugin.
MAX_FILE_BYTES = 80 * MIB
MAX_PARAMS_BYTES = 16 * MIB
_MAX_TEXT_BYTES = 256 * 1024

CASE_NAME, PARAMS_NAME, README_NAME = "call.json", "params.json", "README.txt"
_PLUGIN = "plugin/"
_MOST_ENTRIES = 3 + 2 + len(COMPANIONS)
#: The end of the directory, the directory itself at most, and what stands before the end in a large zip.
_END, _MAX_DIRECTORY_BYTES, _LOCATOR = b"PK\x05\x06", 16 * 1024, b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES = 22, 20
_EPOCH = (1980, 1, 1, 0, 0, 0)

_README = """\
A call of {tool} that ended its worker's process {attempts} times and was set aside.

  penstock replay FILE     runs it once more: here, in a process of its own, with no broker and no Redis

call.json     the call, its limits and capabilities, and the host it ran on
params.json   its params, as they were submitted
plugin/       the plugin's files; their digest is {digest}

The params are whatever the caller sent: look before you pass them on. Values of environment variables, keys,
signatures and session data are not in here; plugin.toml is as its author published it.
"""


def write_reproduction(reproduction: Reproduction) -> bytes:
    """The file. The same reproduction gives the same bytes.

    Raises:
        BundleError: it is too large.
    """
    case = reproduction.case
    texts = {
        README_NAME: _README.format(
            tool=case.tool, attempts=case.attempts, digest=case.plugin_digest
        ).encode(),
        CASE_NAME: case.model_dump_json(indent=2).encode() + b"\n",
        PARAMS_NAME: reproduction.params,
        **{_PLUGIN + name: content for name, content in sorted(reproduction.bundle.files.items())},
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in texts.items():
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    if target.tell() > MAX_FILE_BYTES or len(reproduction.params) > MAX_PARAMS_BYTES:
        raise BundleError(f"The reproduction has {target.tell()} bytes; at most {MAX_FILE_BYTES} are written")
    return target.getvalue()


def read_file(path: Path) -> bytes:
    """The bytes of such a file, if it can be one.

    Raises:
        BundleError: it is no plain file, cannot be read, or is too large.
    """
    try:
        # Not blocking: a FIFO must not hold us up.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BundleError(f"{path} is no file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise BundleError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content


def read_reproduction(content: bytes) -> Reproduction:
    """The reproduction in such a file.

    Raises:
        BundleError: it is none, of another version, or its parts do not belong together.
    """
    entries = _entries(content)
    case = _case(entries.pop(CASE_NAME, None))
    params = entries.pop(PARAMS_NAME, b"")
    entries.pop(README_NAME, None)
    if hashlib.sha256(params).hexdigest() != case.params_sha256:
        raise BundleError("The params are not those of the call: the reproduction is damaged")
    try:
        bundle = bundle_from({name.removeprefix(_PLUGIN): file for name, file in entries.items()})
    except ManifestError as error:
        raise BundleError(f"The plugin in the reproduction cannot be used: {error}") from error
    if bundle.digest != case.plugin_digest:
        raise BundleError(
            f"The plugin has the digest {bundle.digest[:12]}, and the call was one of"
            f" {case.plugin_digest[:12]}: the reproduction is damaged"
        )
    if bundle.manifest.name != case.tool.partition(".")[0]:
        raise BundleError(f"{case.tool} is no tool of {bundle.manifest.name}")
    return Reproduction(case=case, params=params, bundle=bundle)


def _case(raw: bytes | None) -> Case:
    if raw is None:
        raise BundleError(f"This is no reproduction: it has no {CASE_NAME}")
    try:
        return Case.model_validate_json(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        if where == "v":
            raise BundleError(
                f"The reproduction has another version than {CASE_VERSION}, which this release reads"
            ) from error
        why = printable(f"{where}: {problem['msg']}")
        raise BundleError(f"{CASE_NAME} of the reproduction cannot be read: {why}") from error


def _entries(content: bytes) -> dict[str, bytes]:
    _check_directory(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_all(archive)
    except BundleError:
        raise
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError),
        *(NotImplementedError, RuntimeError, IndexError, OverflowError),
    ) as error:
        raise BundleError(f"The reproduction is damaged: {printable(error)}") from error


def _check_directory(content: bytes) -> None:
    """Refuse a long directory before it is read: an entry of it takes hundreds of bytes of memory."""
    end = content[-_END_BYTES:]
    if len(end) < _END_BYTES or end[:4] != _END or end[-2:] != b"\0\0":
        raise BundleError("This is no reproduction: it is no zip file as `penstock` writes them")
    count, size = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    large = content[-_END_BYTES - _LOCATOR_BYTES :][:4] == _LOCATOR
    if large or count > _MOST_ENTRIES or size > _MAX_DIRECTORY_BYTES:
        raise BundleError(f"A reproduction has at most {_MOST_ENTRIES} entries")


def _read_all(archive: zipfile.ZipFile) -> dict[str, bytes]:
    infos = archive.infolist()
    if len(infos) > _MOST_ENTRIES:
        raise BundleError(f"A reproduction has at most {_MOST_ENTRIES} entries")
    found: dict[str, bytes] = {}
    room = MAX_BUNDLE_BYTES
    # The manifest first: it names the one file whose name is not known.
    for info in sorted(infos, key=lambda info: info.filename != _PLUGIN + MANIFEST_NAME):
        most = _most_bytes(info, found, room)
        with archive.open(info) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise BundleError(
                f"{printable(info.filename, 80)} in the reproduction is larger than {most} bytes"
            )
        if info.filename.startswith(_PLUGIN):
            room -= len(content)
        found[info.filename] = content
    return found


def _most_bytes(info: zipfile.ZipInfo, found: dict[str, bytes], room: int) -> int:
    """Bytes that this entry may have.

    Raises:
        BundleError: there is no such entry in a reproduction, or it is there twice, or is no plain file.
    """
    name = info.filename
    plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not info.flag_bits & 1
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name in found or not plain or kind not in (0, stat.S_IFREG):
        raise BundleError(f"{printable(name, 80)} in the reproduction is no plain file, or there twice")
    if name in (CASE_NAME, README_NAME):
        return _MAX_TEXT_BYTES
    if name == PARAMS_NAME:
        return MAX_PARAMS_BYTES
    allowed = {MANIFEST_NAME, *COMPANIONS}
    manifest = found.get(_PLUGIN + MANIFEST_NAME)
    if manifest is not None:
        try:
            allowed.update(read_manifest(manifest).artifacts)
        except ManifestError as error:
            raise BundleError(f"The plugin in the reproduction cannot be used: {error}") from error
    if not name.startswith(_PLUGIN) or name.removeprefix(_PLUGIN) not in allowed:
        raise BundleError(f"A reproduction has no file {printable(name, 80)!r}")
    return room
