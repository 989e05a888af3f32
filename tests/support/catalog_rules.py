"""What every catalog must do: each implementation runs these tests against itself."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod

import orjson
import pytest

from penstock_plugins.bundle import MANIFEST_NAME
from penstock_plugins.catalog import Catalog
from penstock_plugins.errors import CatalogError, ManifestError
from tests.support.bundles import make_bundle, make_tool

UNKNOWN = "0" * 64


class CatalogRules(ABC):
    """Inherit, give `catalog` as a fixture, and say how to do damage."""

    @pytest.fixture
    @abstractmethod
    def catalog(self) -> Catalog:
        """An empty catalog."""

    @abstractmethod
    def reopened(self, catalog: Catalog) -> Catalog:
        """The same catalog, as another process sees it."""

    @abstractmethod
    def change_file(self, catalog: Catalog, digest: str, name: str, content: bytes | None) -> None:
        """Replace a file behind the catalog's back; None removes it."""

    @abstractmethod
    def change_record(self, catalog: Catalog, digest: str, content: bytes) -> None:
        """Replace a record behind the catalog's back."""

    def test_P7_what_one_process_publishes_another_fetches(self, catalog: Catalog) -> None:
        """By its digest: the same bytes, manifest and tools."""
        bundle = make_bundle(module=os.urandom(3_000_000))
        published = catalog.publish(bundle, [make_tool()], imports=["grain:plugin/host"])

        other = self.reopened(catalog)

        assert other.fetch(bundle.digest) == bundle
        assert other.record(bundle.digest) == published
        assert published.digest == bundle.digest
        assert published.tools == (make_tool(),)
        assert published.imports == ("grain:plugin/host",)
        assert published.files == bundle.entries

    def test_I5_publishing_the_same_bundle_again_changes_nothing(self, catalog: Catalog) -> None:
        """Neither the record nor the version."""
        first = catalog.publish(make_bundle(), [make_tool()])
        version = catalog.version()

        again = catalog.publish(make_bundle(), [])

        assert again == first
        assert catalog.version() == version
        assert catalog.records() == [first]

    def test_I5_a_name_and_version_with_another_digest_is_refused(self, catalog: Catalog) -> None:
        """The message says what to do; the first one stays."""
        first = catalog.publish(make_bundle(module=b"one"), [])

        with pytest.raises(CatalogError, match=r"text 1\.0\.0 is published with another content .*raise its"):
            catalog.publish(make_bundle(module=b"two"), [])

        assert catalog.records() == [first]

    def test_the_version_grows_with_each_publish(self, catalog: Catalog) -> None:
        """So that a reader who saw one number knows when to look again."""
        seen = [catalog.version()]
        for number in range(3):
            catalog.publish(make_bundle(version=f"1.{number}.0"), [])
            seen.append(catalog.version())

        assert seen == sorted(set(seen))

    def test_records_are_sorted_by_name_and_version(self, catalog: Catalog) -> None:
        """Versions by value."""
        for name, version in (("b", "1.0.0"), ("a", "1.10.0"), ("a", "1.9.0"), ("a", "1.10.0-rc.1")):
            catalog.publish(make_bundle(name, version), [])

        assert [(record.name, record.version) for record in catalog.records()] == [
            ("a", "1.9.0"),
            ("a", "1.10.0-rc.1"),
            ("a", "1.10.0"),
            ("b", "1.0.0"),
        ]

    def test_an_empty_catalog_has_nothing(self, catalog: Catalog) -> None:
        """And says where plugins come from."""
        assert catalog.records() == []
        assert catalog.version() == 0
        for ask in (catalog.record, catalog.fetch):
            with pytest.raises(CatalogError, match="penstock plugin publish"):
                ask(UNKNOWN)

    @pytest.mark.parametrize("digest", ["", "../" * 20, "A" * 64, "0" * 63, "0" * 65, "*", "0" * 64 + "\n"])
    def test_what_is_no_digest_is_refused(self, catalog: Catalog, digest: str) -> None:
        """It would become part of a path or a key."""
        for ask in (catalog.record, catalog.fetch):
            with pytest.raises(CatalogError, match="is no digest"):
                ask(digest)

    @pytest.mark.parametrize("name", ["plugin.wasm", "plugin.toml"])
    @pytest.mark.parametrize("content", [None, b"", b"other bytes"])
    def test_P6_bytes_that_do_not_match_are_refused(
        self, catalog: Catalog, name: str, content: bytes | None
    ) -> None:
        """A file that was changed, emptied or removed."""
        digest = catalog.publish(make_bundle(), []).digest
        self.change_file(catalog, digest, name, content)

        with pytest.raises(CatalogError):
            catalog.fetch(digest)

    def test_P6_one_flipped_bit_is_refused(self, catalog: Catalog) -> None:
        """The size is the same."""
        bundle = make_bundle(module=os.urandom(1_000_000))
        catalog.publish(bundle, [])
        flipped = bytearray(bundle.files["plugin.wasm"])
        flipped[777_777] ^= 1

        self.change_file(catalog, bundle.digest, "plugin.wasm", bytes(flipped))

        with pytest.raises(CatalogError, match="damaged"):
            catalog.fetch(bundle.digest)

    def test_P6_the_manifest_alone_is_verified_too(self, catalog: Catalog) -> None:
        """Against the plugin's digest; whatever happened to the module."""
        bundle = make_bundle()
        record = catalog.publish(bundle, [make_tool()])
        self.change_file(catalog, bundle.digest, bundle.manifest.wasm.module, None)

        assert self.reopened(catalog).verified_record(bundle.digest) == record

    @pytest.mark.parametrize("damage", ["changed", "missing", "too long"])
    def test_P6_a_manifest_that_does_not_match_is_refused(self, catalog: Catalog, damage: str) -> None:
        """Another one could give the plugin more than its author asked for."""
        bundle = make_bundle()
        catalog.publish(bundle, [make_tool()])
        text = bundle.files[MANIFEST_NAME]
        contents = {"changed": text.replace(b"1", b"2"), "missing": None, "too long": text + b"#" * (1 << 20)}
        assert contents[damage] != text

        self.change_file(catalog, bundle.digest, MANIFEST_NAME, contents[damage])

        with pytest.raises(CatalogError):
            catalog.verified_record(bundle.digest)

    def test_P6_a_manifest_is_not_verified_against_a_record_that_lies(self, catalog: Catalog) -> None:
        """The digest decides, and not what the catalog says that its files are."""
        one, other = catalog.publish(make_bundle("a"), []), catalog.publish(make_bundle("b"), [])
        text = one.to_json()
        for ours, theirs in zip(one.files, other.files, strict=True):
            text = text.replace(ours.sha256, theirs.sha256)
        self.change_record(catalog, one.digest, text.encode())
        self.change_file(catalog, one.digest, MANIFEST_NAME, make_bundle("b").files[MANIFEST_NAME])

        with pytest.raises(CatalogError, match="other files"):
            catalog.verified_record(one.digest)

    def test_P6_what_a_record_says_of_its_manifest_does_not_count(self, catalog: Catalog) -> None:
        """The manifest of the bundle does."""
        bundle = make_bundle()
        record = catalog.publish(bundle, [make_tool()])
        text = orjson.loads(record.to_json())
        text["manifest"]["wasm"]["capabilities"] = ["log", "env"]
        self.change_record(catalog, bundle.digest, orjson.dumps(text))
        assert catalog.record(bundle.digest) != record

        assert catalog.verified_record(bundle.digest) == record

    def test_there_is_no_verified_record_of_what_is_not_there(self, catalog: Catalog) -> None:
        """Nor of what cannot be a digest, or is another plugin's."""
        one, other = catalog.publish(make_bundle("a"), []), catalog.publish(make_bundle("b"), [])
        for digest in (UNKNOWN, "../" * 21 + "x"):
            with pytest.raises(CatalogError, match=r"no plugin|no digest"):
                catalog.verified_record(digest)

        self.change_record(catalog, one.digest, other.to_json().encode())

        with pytest.raises(CatalogError, match="another plugin"):
            catalog.verified_record(one.digest)

    def test_publishing_again_mends_what_was_damaged(self, catalog: Catalog) -> None:
        """As the error advises."""
        bundle = make_bundle()
        record = catalog.publish(bundle, [make_tool()])
        self.change_file(catalog, bundle.digest, "plugin.wasm", b"other bytes")

        catalog.publish(bundle, [make_tool()])

        assert catalog.fetch(bundle.digest) == bundle
        assert catalog.records() == [record]

    def test_a_record_that_cannot_be_read_is_left_out_and_mended(
        self, catalog: Catalog, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One that a newer release wrote, for example, must not hide the others."""
        damaged, whole = make_bundle("a"), make_bundle("b")
        catalog.publish(damaged, [])
        kept = catalog.publish(whole, [])
        self.change_record(catalog, damaged.digest, b'{"v":99}')

        with caplog.at_level(logging.WARNING):
            assert catalog.records() == [kept]

        assert "left out" in caplog.text
        with pytest.raises(CatalogError, match="cannot be read"):
            catalog.record(damaged.digest)
        catalog.publish(damaged, [])
        assert [record.name for record in catalog.records()] == ["a", "b"]

    def test_the_record_of_another_plugin_is_refused(self, catalog: Catalog) -> None:
        """A digest names one plugin."""
        one, other = catalog.publish(make_bundle("a"), []), catalog.publish(make_bundle("b"), [])

        self.change_record(catalog, one.digest, other.to_json().encode())

        with pytest.raises(CatalogError, match="another plugin"):
            catalog.record(one.digest)

    def test_a_record_with_other_files_is_refused(self, catalog: Catalog) -> None:
        """Its list of files must be the one that its digest was made of."""
        record = catalog.publish(make_bundle(), [])
        sha256 = record.files[0].sha256

        self.change_record(catalog, record.digest, record.to_json().replace(sha256, "0" * 64).encode())

        with pytest.raises(CatalogError, match="other files"):
            catalog.record(record.digest)

    def test_tools_of_another_plugin_cannot_be_published(self, catalog: Catalog) -> None:
        """Nor two of one name: callers could not tell them apart."""
        for tools in ([make_tool(plugin="html")], [make_tool(), make_tool()]):
            with pytest.raises(CatalogError, match="cannot be published with the tool"):
                catalog.publish(make_bundle(), tools)

        assert catalog.records() == []

    def test_P3_a_plugin_whose_required_tools_are_not_there_is_refused(self, catalog: Catalog) -> None:
        """They are published first, in a version that will do."""
        needy = make_bundle("report", more='[requires]\n"text.stats" = "^1.1.0"')
        catalog.publish(make_bundle(version="1.0.0"), [make_tool()])
        with pytest.raises(ManifestError, match=r"Missing dependencies: text\.stats \(there is 1\.0\.0\)"):
            catalog.publish(needy, [])

        catalog.publish(make_bundle(version="1.2.0"), [make_tool(version="1.2.0")])

        assert catalog.publish(needy, []).name == "report"

    def test_of_two_that_publish_one_version_at_once_one_is_refused(self, catalog: Catalog) -> None:
        """And what is there afterwards is the one that was not."""
        bundles = [make_bundle(module=bytes([number]) * 100_000) for number in range(6)]
        ready = threading.Barrier(len(bundles))
        published: list[str] = []
        refused: list[CatalogError] = []

        def publish(number: int) -> None:
            own = self.reopened(catalog)
            ready.wait(timeout=30)
            try:
                published.append(own.publish(bundles[number], []).digest)
            except CatalogError as error:
                refused.append(error)

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(len(bundles))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(published) == 1
        assert len(refused) == len(bundles) - 1
        assert [record.digest for record in catalog.records()] == published
        assert catalog.fetch(published[0]).digest == published[0]
        assert catalog.version() == 1

    def test_many_that_publish_the_same_bundle_at_once_all_succeed(self, catalog: Catalog) -> None:
        """Every host may publish what it ships."""
        bundle = make_bundle(module=os.urandom(100_000))
        ready = threading.Barrier(6)
        published: list[str] = []

        def publish() -> None:
            own = self.reopened(catalog)
            ready.wait(timeout=30)
            published.append(own.publish(bundle, []).digest)

        threads = [threading.Thread(target=publish) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert published == [bundle.digest] * 6
        assert catalog.version() == 1
        assert catalog.fetch(bundle.digest) == bundle
