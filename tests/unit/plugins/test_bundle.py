"""Bundles: what travels, what does not, and what its digest is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins import bundle as bundle_module
from penstock_plugins.bundle import (
    MAX_BUNDLE_BYTES,
    Bundle,
    FileEntry,
    bundle_digest,
    bundle_from,
    file_entries,
    is_digest,
    read_bundle,
)
from penstock_plugins.errors import BundleError, ManifestError
from penstock_plugins.manifest import MAX_MANIFEST_BYTES
from penstock_plugins.packed import pack
from tests.support.bundles import MODULE, make_bundle, manifest_text, write_plugin

FILES = st.dictionaries(
    st.sampled_from(["plugin.toml", "plugin.wasm", "README.md", "LICENSE"]),
    st.binary(max_size=50),
    min_size=1,
)


def test_P1_a_plugin_is_a_folder_with_its_manifest_and_artifact(tmp_path: Path) -> None:
    """Both travel, byte for byte."""
    folder = write_plugin(tmp_path / "text", manifest_text())

    bundle = read_bundle(folder)

    assert bundle.manifest.name == "text"
    assert bundle.files == {"plugin.toml": manifest_text().encode(), "plugin.wasm": MODULE}


def test_companions_travel_and_sources_do_not(tmp_path: Path) -> None:
    """README and LICENSE are worth their bytes; what the artifact was built from is not part of it."""
    folder = write_plugin(tmp_path / "text", manifest_text())
    (folder / "README.md").write_text("read me")
    (folder / "LICENSE").write_text("licence")
    (folder / "src").mkdir()
    (folder / "src" / "plugin.c").write_text("int main;")
    (folder / "plugin.cwasm").write_bytes(b"native")
    (folder / ".env").write_text("SECRET=1")

    assert set(read_bundle(folder).files) == {"plugin.toml", "plugin.wasm", "README.md", "LICENSE"}


def test_I5_the_digest_is_sha256_over_the_sorted_paths_sizes_and_hashes() -> None:
    """Written out once more, so that nobody changes it by accident."""
    bundle = make_bundle()
    lines = "".join(
        f"{path}\0{len(content)}\0{hashlib.sha256(content).hexdigest()}\n"
        for path, content in (
            ("plugin.toml", manifest_text().encode()),
            ("plugin.wasm", MODULE),
        )
    )

    assert bundle.digest == hashlib.sha256(lines.encode()).hexdigest()
    assert is_digest(bundle.digest)


@given(files=FILES, data=st.data())
def test_I5_the_order_of_the_files_does_not_matter(files: dict[str, bytes], data: st.DataObject) -> None:
    """A folder has no order, so the digest has none."""
    entries = data.draw(st.permutations(file_entries(files)))

    assert bundle_digest(entries) == bundle_digest(file_entries(files))


@given(files=FILES, data=st.data())
def test_I5_any_other_byte_name_or_file_gives_another_digest(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    """Two plugins never share a name where it matters."""
    others = data.draw(FILES.filter(lambda drawn: drawn != files))

    assert bundle_digest(file_entries(files)) != bundle_digest(file_entries(others))


def test_the_entries_of_a_bundle_are_sorted_and_say_what_is_in_it() -> None:
    """Path, size and hash."""
    assert make_bundle().entries == (
        FileEntry("plugin.toml", len(manifest_text()), hashlib.sha256(manifest_text().encode()).hexdigest()),
        FileEntry("plugin.wasm", len(MODULE), hashlib.sha256(MODULE).hexdigest()),
    )


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_what_is_no_digest(text: str) -> None:
    """64 hex digits in lower case, and nothing around them."""
    assert not is_digest(text)


def test_P3_a_folder_without_a_manifest_says_so(tmp_path: Path) -> None:
    """With the path at which it was looked for."""
    folder = write_plugin(tmp_path / "text")

    with pytest.raises(ManifestError, match=f"Plugin manifest not found: {folder}/plugin.toml"):
        read_bundle(folder)


def test_a_folder_without_its_artifact_says_to_build_it(tmp_path: Path) -> None:
    """The message names the file that the manifest names."""
    folder = write_plugin(tmp_path / "text", manifest_text(more='[wasm]\nmodule = "my.wasm"'))

    with pytest.raises(BundleError, match=r"my\.wasm.*build the plugin first"):
        read_bundle(folder)


def test_a_plugin_of_composite_tools_has_their_files_and_no_artifact(tmp_path: Path) -> None:
    """All that are named, and no others."""
    manifest = 'name = "docs"\nversion = "1.0.0"\n[composite]\nfiles = ["a.yaml", "b.json"]\n'
    (tmp_path / "plugin.toml").write_text(manifest)
    (tmp_path / "a.yaml").write_text("name: a")
    (tmp_path / "c.yaml").write_text("name: c")

    with pytest.raises(BundleError, match=r"names b\.json, and there is no such file"):
        read_bundle(tmp_path)

    (tmp_path / "b.json").write_text("{}")
    assert set(read_bundle(tmp_path).files) == {"plugin.toml", "a.yaml", "b.json"}


def test_a_file_and_nothing_at_all_are_no_plugins(tmp_path: Path) -> None:
    """Both are told in words."""
    (tmp_path / "file").write_text("x")

    for path in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(BundleError, match="is no folder"):
            read_bundle(path)


@pytest.mark.parametrize("name", ["plugin.toml", "plugin.wasm", "README.md", "LICENSE"])
def test_links_are_not_followed(tmp_path: Path, name: str) -> None:
    """Neither out of the folder nor inside it: what travels is what lies there."""
    folder = write_plugin(tmp_path / "text", manifest_text())
    outside = tmp_path / "outside"
    outside.write_text(manifest_text())
    (folder / name).unlink(missing_ok=True)

    (folder / name).symlink_to(outside)

    with pytest.raises(BundleError, match="is a link"):
        read_bundle(folder)


def test_a_link_that_leads_nowhere_is_refused_as_well(tmp_path: Path) -> None:
    """It is a link, not a file that is missing."""
    folder = write_plugin(tmp_path / "text", manifest_text())

    (folder / "README.md").symlink_to("nowhere")

    with pytest.raises(BundleError, match="is a link"):
        read_bundle(folder)


def put_pipe(path: Path) -> None:
    """A FIFO that nobody writes to."""
    os.mkfifo(path)


def put_folder(path: Path) -> None:
    """A folder."""
    path.mkdir()


def put_socket(path: Path) -> None:
    """A Unix socket."""
    # From inside its folder: the path of a socket may be short only.
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(path.parent):
        listening.bind(path.name)


@pytest.mark.parametrize("name", ["plugin.toml", "plugin.wasm", "README.md"])
@pytest.mark.parametrize("put", [put_pipe, put_folder, put_socket])
def test_what_is_no_regular_file_is_refused_and_holds_nobody_up(
    tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    """A FIFO, a folder and a socket in the place of a file; no descriptor is left open."""
    folder = write_plugin(tmp_path / "text", manifest_text())
    (folder / name).unlink(missing_ok=True)
    put(folder / name)
    open_before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(BundleError, match=name):
        read_bundle(folder)

    assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    """The size is asked for first: a sparse file of a terabyte costs nothing."""
    folder = write_plugin(tmp_path / "text", manifest_text())
    os.truncate(folder / "plugin.wasm", 1 << 40)

    with pytest.raises(BundleError, match=f"has {1 << 40} bytes"):
        read_bundle(folder)


def test_files_that_are_too_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap is the bundle's, not the file's."""
    monkeypatch.setattr(bundle_module, "MAX_BUNDLE_BYTES", 100)
    folder = write_plugin(tmp_path / "text", manifest_text(), module=b"x" * 60)
    (folder / "README.md").write_bytes(b"x" * 60)

    with pytest.raises(BundleError, match="at most 100 travel"):
        read_bundle(folder)


def test_a_manifest_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Before anything else is read."""
    folder = write_plugin(tmp_path / "text", "#" * (MAX_MANIFEST_BYTES + 2))

    with pytest.raises((BundleError, ManifestError), match="bytes; at most"):
        read_bundle(folder)


@pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "src/plugin.c", "record.json", "plugin.wasm\0"])
def test_files_that_no_bundle_has_are_refused(path: str) -> None:
    """Files that come from a catalog have no say in where they are written."""
    files = dict(make_bundle().files)

    with pytest.raises(BundleError, match="A bundle has no file"):
        bundle_from({**files, path: b""})


def test_files_without_a_manifest_are_no_bundle() -> None:
    """Nor is nothing."""
    with pytest.raises(ManifestError, match="Plugin manifest not found"):
        bundle_from({"plugin.wasm": MODULE})
    with pytest.raises(ManifestError, match="Plugin manifest not found"):
        bundle_from({})


def test_a_bundle_does_not_change_with_the_files_that_it_was_made_of() -> None:
    """Its digest was computed once."""
    files = dict(make_bundle().files)
    bundle: Bundle = bundle_from(files)

    files["plugin.wasm"] = b"other"

    assert bundle.files["plugin.wasm"] == MODULE


def test_a_compressed_artifact_is_read_as_the_artifact(tmp_path: Path) -> None:
    """Digest and files are those of the folder with the artifact itself."""
    folder = write_plugin(tmp_path / "small", manifest_text())
    plain = read_bundle(folder)
    artifact = folder / "plugin.wasm"
    (folder / "plugin.wasm.xz").write_bytes(pack(artifact.read_bytes()))
    artifact.unlink()

    packed = read_bundle(folder)

    assert packed == plain


def test_the_artifact_itself_is_taken_before_a_compressed_one(tmp_path: Path) -> None:
    """It is what its author built last."""
    folder = write_plugin(tmp_path / "both", manifest_text())
    plain = read_bundle(folder)
    (folder / "plugin.wasm.xz").write_bytes(pack(b"older"))

    assert read_bundle(folder) == plain


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"something else entirely", "cannot be unpacked"),
        (pack(b"content")[:-8], "no whole xz file"),
        (pack(b"content") + b"more", "no whole xz file"),
        (pack(bytes(MAX_BUNDLE_BYTES + 1)), f"has more than {MAX_BUNDLE_BYTES} bytes inside"),
    ],
    ids=["other", "cut", "more", "bomb"],
)
def test_a_compressed_artifact_that_is_none_is_refused(tmp_path: Path, packed: bytes, problem: str) -> None:
    """However small it looks, no more than a bundle's bytes come out of it."""
    folder = write_plugin(tmp_path / "broken", manifest_text())
    (folder / "plugin.wasm").unlink()
    (folder / "plugin.wasm.xz").write_bytes(packed)

    with pytest.raises(BundleError, match=problem):
        read_bundle(folder)
