"""The catalog in a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from penstock_plugins.catalog import Catalog
from penstock_plugins.errors import CatalogError
from penstock_plugins.folder_catalog import FolderCatalog
from tests.support.bundles import make_bundle
from tests.support.catalog_rules import CatalogRules


class TestFolderCatalog(CatalogRules):
    """What every catalog must do."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "catalog"

    @pytest.fixture
    def catalog(self) -> Catalog:
        """In a folder that is not there yet."""
        return FolderCatalog(self.folder)

    def reopened(self, catalog: Catalog) -> Catalog:
        """Another one on the same folder."""
        return FolderCatalog(self.folder)

    def change_file(self, catalog: Catalog, digest: str, name: str, content: bytes | None) -> None:
        """On the disk."""
        file = self.folder / digest / name
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)

    def change_record(self, catalog: Catalog, digest: str, content: bytes) -> None:
        """On the disk."""
        (self.folder / digest / "record.json").write_bytes(content)


def test_a_release_that_is_removed_is_gone(tmp_path: Path) -> None:
    """Its files too, and what killed publishers have left; the number grows, so that readers look again."""
    catalog = FolderCatalog(tmp_path)
    gone, kept = (
        catalog.publish(make_bundle(version="1.0.0"), []),
        catalog.publish(make_bundle(version="1.1.0"), []),
    )
    for name, age_s in ((".publishing-old", 7200), (".publishing-new", 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    versions = [catalog.version()]

    removed = catalog.remove("text", "1.0.0")
    versions.append(catalog.version())
    with pytest.raises(CatalogError, match="There is no text@1"):
        catalog.remove("text", "1.0.0")
    again = catalog.publish(make_bundle(version="1.0.0", module=b"other"), [])
    versions.append(catalog.version())

    assert (removed, catalog.records()) == (gone, [again, kept])
    assert versions == sorted(set(versions))
    assert {path.name for path in tmp_path.iterdir()} == {
        *(kept.digest, again.digest, ".publishing-new", ".lock", ".removed")
    }


def test_what_is_half_written_is_not_seen(tmp_path: Path) -> None:
    """Nor is whatever else lies in the folder."""
    catalog = FolderCatalog(tmp_path)
    record = catalog.publish(make_bundle(), [])
    (tmp_path / ".publishing-abc").mkdir()
    (tmp_path / "README.md").write_text("hello")

    assert catalog.records() == [record]
    assert catalog.version() == 1


def test_a_plugin_whose_folder_lost_its_record_is_left_out(tmp_path: Path) -> None:
    """The others are there."""
    catalog = FolderCatalog(tmp_path)
    lost, kept = catalog.publish(make_bundle("a"), []), catalog.publish(make_bundle("b"), [])

    (tmp_path / lost.digest / "record.json").unlink()

    assert catalog.records() == [kept]


def test_a_place_that_is_no_folder_is_an_error_in_words(tmp_path: Path) -> None:
    """Not a traceback."""
    place = tmp_path / "catalog"
    place.write_text("")
    catalog = FolderCatalog(place)

    with pytest.raises(CatalogError, match="cannot be published"):
        catalog.publish(make_bundle(), [])
    with pytest.raises(CatalogError, match="cannot be read"):
        catalog.records()


def test_a_publish_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, for example."""

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    catalog = FolderCatalog(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(CatalogError, match="No space left"):
        catalog.publish(make_bundle(), [])

    assert [place.name for place in tmp_path.iterdir()] == [".lock"]
    assert catalog.records() == []
