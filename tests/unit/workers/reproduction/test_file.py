"""A reproduction's file: what is written is read back, and what strangers write is refused."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_plugins.errors import BundleError
from penstock_workers.reproduction.case import Case, Reproduction
from penstock_workers.reproduction.file import (
    CASE_NAME,
    MAX_PARAMS_BYTES,
    PARAMS_NAME,
    read_file,
    read_reproduction,
    write_reproduction,
)
from tests.support.bundles import make_bundle

PARAMS = b'{"text":"hi"}'
Entries = dict[str, bytes]


def make_reproduction(**changes: Any) -> Reproduction:
    """Of a call of `text.stats`."""
    bundle = make_bundle()
    return Reproduction(
        case=Case(
            **{
                "call": "j.0",
                "tool": "text.stats",
                "plugin_digest": bundle.digest,
                "params_sha256": hashlib.sha256(PARAMS).hexdigest(),
                "timeout_s": 2.5,
                "limits": {"timeout_s": 2.5, "fuel": None, "memory_bytes": 1 << 20},
                **changes,
            }
        ),
        params=PARAMS,
        bundle=bundle,
    )


def entries_of(content: bytes) -> Entries:
    """What such a file holds."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(entries: Entries, **attributes: Any) -> bytes:
    """A zip of these entries, as anybody may write one."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(entry, attribute, value)
            archive.writestr(entry, content)
    return target.getvalue()


def test_J3_what_is_written_is_read_back_and_always_the_same() -> None:
    """Params as they were, to the byte; the plugin with its digest."""
    reproduction = make_reproduction()

    first, second = write_reproduction(reproduction), write_reproduction(make_reproduction())

    assert first == second
    assert read_reproduction(first) == reproduction
    assert read_reproduction(first).case.call_limits.memory_bytes == 1 << 20
    assert sorted(entries_of(first)) == [
        "README.txt",
        "call.json",
        "params.json",
        "plugin/plugin.toml",
        "plugin/plugin.wasm",
    ]


def _with(name: str, content: bytes) -> Callable[[Entries], Entries]:
    return lambda entries: {**entries, name: content}


def _without(name: str) -> Callable[[Entries], Entries]:
    return lambda entries: {key: value for key, value in entries.items() if key != name}


def _replacing(old: bytes, new: bytes) -> Callable[[Entries], Entries]:
    return lambda entries: {**entries, CASE_NAME: entries[CASE_NAME].replace(old, new)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_with("../../etc/cron.d/x", b"x"), "has no file"),
        (_with("/etc/passwd", b"x"), "has no file"),
        (_with("plugin/../../x", b"x"), "has no file"),
        (_with("plugin/plugin.cwasm", b"native code"), "has no file"),
        (_with("plugin\\x", b"x"), "has no file"),
        (_with("\x1b[2J", b"x"), r"has no file '\\\\x1b"),
        (_with("plugin/plugin.wasm", b"other bytes"), "digest"),
        (_with("plugin/README.md", b"one more"), "digest"),
        (_with(PARAMS_NAME, b"{}"), "not those of the call"),
        (_with(PARAMS_NAME, bytes(MAX_PARAMS_BYTES + 1)), "larger than"),
        (_with("README.txt", bytes(300_000)), "larger than"),
        (_with(CASE_NAME, b"\xff{"), "cannot be read"),
        (_with(CASE_NAME, b"[]"), "cannot be read"),
        (_with("plugin/plugin.toml", b"name = "), "cannot be used"),
        (_without(CASE_NAME), "no reproduction"),
        (_without("plugin/plugin.toml"), "has no file|cannot be used"),
        (_without("plugin/plugin.wasm"), "no such file"),
        (_without(PARAMS_NAME), "not those of the call"),
        (_replacing(b'"v": 1', b'"v": 2'), "another version"),
        (_replacing(b'"tool": "text.', b'"tool": "other.'), "no tool of text"),
        (_replacing(b'"call"', b'"cal"'), "cannot be read"),
        (_replacing(b'"memory_bytes": 1048576', b'"memory_bytes": -1'), "memory_bytes"),
        (_replacing(b'"memory_bytes": 1048576', b'"memory_bytes": 1e400'), "cannot be read"),
        (_replacing(b'"memory_bytes"', b'"moonlight"'), "no limit 'moonlight'"),
        (_replacing(b'"timeout_s": 2.5', b'"timeout_s": 1e9'), "timeout_s"),
    ],
)
def test_J3_a_hostile_file_is_refused(change: Callable[[Entries], Entries], says: str) -> None:
    """In words, before anything of it is used."""
    content = zipped(change(entries_of(write_reproduction(make_reproduction()))))

    with pytest.raises(BundleError, match=says):
        read_reproduction(content)


def test_a_bomb_is_not_unpacked() -> None:
    """A gigabyte of zeros in a megabyte: reading stops at what an entry may have."""
    target = io.BytesIO()
    entries = entries_of(write_reproduction(make_reproduction()))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("plugin/plugin.toml", entries["plugin/plugin.toml"])
        with archive.open("plugin/plugin.wasm", "w") as file:
            for _ in range(100):
                file.write(bytes(1 << 20))

    with pytest.raises(BundleError, match="larger than"):
        read_reproduction(target.getvalue())


def test_a_size_that_was_made_up_is_not_believed() -> None:
    """The directory says 13 bytes, the stream has more: what is read is counted, and checked."""
    content = zipped({**entries_of(write_reproduction(make_reproduction())), PARAMS_NAME: bytes(50_000)})
    at = content.rindex(PARAMS_NAME.encode()) - 46
    forged = content[: at + 24] + struct.pack("<I", 13) + content[at + 28 :]

    with pytest.raises(BundleError):
        read_reproduction(forged)


def test_a_long_directory_is_refused_before_it_is_read() -> None:
    """Thousands of entries would take memory by themselves; and so would a directory of the large kind."""
    many = zipped({f"f{n}": b"" for n in range(20)})
    comment = write_reproduction(make_reproduction())[:-2] + b"\x05\x00PK\x05\x06x"
    large = write_reproduction(make_reproduction())
    large = large[:-22] + b"PK\x06\x07" + bytes(16) + large[-22:]

    for content in (many, comment, large, b"", b"PK", os.urandom(1000)):
        with pytest.raises(BundleError, match="reproduction"):
            read_reproduction(content)


@pytest.mark.parametrize(
    "attributes",
    [
        {"external_attr": (stat.S_IFLNK | 0o777) << 16},
        {"external_attr": (stat.S_IFIFO | 0o644) << 16},
        {"compress_type": zipfile.ZIP_BZIP2},
    ],
    ids=["link", "fifo", "bzip2"],
)
def test_an_entry_that_is_no_plain_file_is_refused(attributes: dict[str, Any]) -> None:
    """Nothing is unpacked to disk, so it would do nothing; but nobody of ours writes it."""
    content = zipped(entries_of(write_reproduction(make_reproduction())), **attributes)

    with pytest.raises(BundleError, match="no plain file"):
        read_reproduction(content)


def test_an_entry_that_is_there_twice_is_refused() -> None:
    """Two readers could take either."""
    target = io.BytesIO(write_reproduction(make_reproduction()))
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(PARAMS_NAME, PARAMS)

    with pytest.raises(BundleError, match="twice"):
        read_reproduction(target.getvalue())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_bytes_that_were_changed_are_refused_or_change_nothing(data: st.DataObject) -> None:
    """Whatever a flipped byte does, it is an error of ours or the same reproduction."""
    good = make_reproduction()
    content = bytearray(write_reproduction(good))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        found = read_reproduction(bytes(content))
    except BundleError:
        return
    assert (found.params, found.bundle.digest) == (good.params, good.bundle.digest)


def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    """A missing file, a folder and a FIFO say so; none holds us up."""
    os.mkfifo(tmp_path / "fifo")

    for name in ("nothing", "fifo", "."):
        with pytest.raises(BundleError):
            read_file(tmp_path / name)
