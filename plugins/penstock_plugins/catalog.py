"""Where plugins are kept by digest. One protocol; a folder and Redis implement it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from penstock_plugins.bundle import MANIFEST_NAME, Bundle, FileEntry, bundle_digest, is_digest
from penstock_plugins.composites import composites_in
from penstock_plugins.errors import CatalogError, PenstockError
from penstock_plugins.manifest import Manifest, read_manifest
from penstock_plugins.printable import printable
from penstock_plugins.record import PluginRecord
from penstock_plugins.requirements import check_dependencies
from penstock_plugins.tool import Tool
from penstock_plugins.versions import by_precedence

logger = logging.getLogger(__name__)


class Catalog(Protocol):
    """Keeps bundles, and says what there is."""

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """Keep a bundle. Publishing the same one again changes nothing, and mends what was damaged.

        Raises:
            CatalogError: its name and version are taken by another digest.
            ManifestError: it requires tools that are not published.
        """
        ...

    def record(self, digest: str) -> PluginRecord:
        """What is known of a plugin.

        Raises:
            CatalogError: there is none with this digest.
        """
        ...

    def fetch(self, digest: str) -> Bundle:
        """The bundle, verified against its digest.

        Raises:
            CatalogError: there is none with this digest, or its bytes are not what the digest says.
        """
        ...

    def verified_record(self, digest: str) -> PluginRecord:
        """What is known of a plugin, with the manifest of its bundle instead of the record's copy of it.

        The manifest is verified against the digest; no other file is read.

        Raises:
            CatalogError: there is none with this digest, or its manifest is missing or not the one that
                belongs to the digest.
        """
        ...

    def records(self) -> list[PluginRecord]:
        """All plugins, by name and version. One whose record cannot be read is left out, and logged."""
        ...

    def version(self) -> int:
        """A number that grows with each plugin that is published."""
        ...


def new_record(
    bundle: Bundle,
    tools: Sequence[Tool],
    imports: Sequence[str],
    *,
    published: Callable[[], list[PluginRecord]],
) -> PluginRecord:
    """The record of a bundle that is about to be published.

    Args:
        bundle: what is published.
        tools: what its guest declares.
        imports: what its component imports.
        published: gives what is there already; asked where the plugin requires tools of others.

    Raises:
        CatalogError: a tool is not the plugin's own, or two have one name; a pipeline cannot be used.
        ManifestError: "Missing dependencies: …".
    """
    manifest = bundle.manifest
    names = [tool.name for tool in tools]
    for tool in tools:
        if tool.plugin != manifest.name or names.count(tool.name) > 1:
            raise CatalogError(f"{manifest.name} cannot be published with the tool {tool.full_name}")
    if manifest.requires:
        others = (tool for record in published() for tool in record.tools)
        check_dependencies(manifest, [*tools, *others])
    return PluginRecord(
        digest=bundle.digest,
        manifest=manifest,
        tools=tuple(tools),
        files=bundle.entries,
        imports=tuple(imports),
        pipelines=_pipelines(bundle, names),
    )


def _pipelines(bundle: Bundle, tools: list[str]) -> dict[str, dict[str, Any]]:
    found, problems = composites_in(bundle)
    if problems or (bundle.manifest.composite is not None and sorted(found) != sorted(tools)):
        why = "; ".join(problems) or "its tools are not its pipelines"
        raise CatalogError(f"{bundle.manifest.name} cannot be published: {why}")
    return {name: pipeline.to_dict() for name, pipeline in found.items()}


def refuse_other_bytes(bundle: Bundle, taken_by: str) -> None:
    """A name and a version stand for one digest for ever.

    Raises:
        CatalogError: `taken_by` is another digest.
    """
    if taken_by != bundle.digest:
        raise CatalogError(
            f"{bundle.manifest.name} {bundle.manifest.version} is published with another content "
            f"({taken_by[:12]}, not {bundle.digest[:12]}): raise its version"
        )


def checked_digest(digest: str) -> str:
    """The digest, if it can be one: it becomes part of paths and keys.

    Raises:
        CatalogError: it has not 64 hex digits.
    """
    if not is_digest(digest):
        raise CatalogError(f"{printable(digest, 80)!r} is no digest: it has 64 hex digits")
    return digest


def unknown_digest(digest: str) -> CatalogError:
    """The error for a digest that a catalog does not have."""
    return CatalogError(
        f"There is no plugin with digest {digest[:12]}: publish it with `penstock plugin publish`"
    )


def record_of(digest: str, text: bytes) -> PluginRecord:
    """The record that is kept under a digest.

    Raises:
        CatalogError: it cannot be read, or is that of another plugin.
    """
    record = PluginRecord.from_json(text)
    _check_belongs(record.digest, record.files, digest)
    return record


def verified_record_of(digest: str, text: bytes, manifest: bytes) -> PluginRecord:
    """The record that is kept under a digest, with the manifest of its bundle.

    Args:
        digest: of the plugin.
        text: of the record, as the catalog has it.
        manifest: its text, as the catalog has it.

    Raises:
        CatalogError: one of them cannot be read, or belongs to another plugin.
    """

    def manifest_of(named: str, files: tuple[FileEntry, ...]) -> Manifest:
        _check_belongs(named, files, digest)
        if hashlib.sha256(manifest).hexdigest() != _entry(files, MANIFEST_NAME, digest).sha256:
            raise CatalogError(
                f"The manifest of plugin {digest[:12]} was changed: the catalog is damaged; "
                "publish the plugin again"
            )
        try:
            return read_manifest(manifest, path=MANIFEST_NAME)
        except PenstockError as error:
            raise CatalogError(f"The plugin {digest[:12]} cannot be read: {error}") from error

    return PluginRecord.from_json(text, manifest_of=manifest_of)


def entry_of(record: PluginRecord, path: str) -> FileEntry:
    """What the digest of this record says of one file.

    Raises:
        CatalogError: the bundle has no such file, or the record does not belong to its digest.
    """
    _check_belongs(record.digest, record.files, record.digest)
    return _entry(record.files, path, record.digest)


def _check_belongs(named: str, files: tuple[FileEntry, ...], digest: str) -> None:
    """Refuse a record that is kept under a digest, and names another or files that it was not made of."""
    if named != digest:
        raise CatalogError(
            f"The record of plugin {digest[:12]} is that of another plugin, {named[:12]}: "
            "the catalog is damaged"
        )
    if bundle_digest(files) != digest:
        raise CatalogError(f"The record of plugin {digest[:12]} names other files: the catalog is damaged")


def _entry(files: tuple[FileEntry, ...], path: str, digest: str) -> FileEntry:
    for entry in files:
        if entry.path == path:
            return entry
    raise CatalogError(f"The plugin {digest[:12]} has no file {printable(path, 80)}")


def readable_records(texts: Iterable[tuple[str, bytes]]) -> list[PluginRecord]:
    """The records that can be read, sorted by name and version.

    The others are logged: one that is damaged, or that a newer release wrote, must not hide the rest.

    Args:
        texts: digest and JSON text of each.
    """
    records = []
    for digest, text in texts:
        try:
            records.append(record_of(digest, text))
        except CatalogError as error:
            logger.warning(
                "Plugin %s is left out of the catalog: %s",
                printable(digest, 12),
                error,
                extra={"action": "record_unreadable", "digest": printable(digest, 64)},
            )
    return sorted(records, key=lambda record: (record.name, by_precedence(record.version)))


def verified(bundle: Bundle, digest: str) -> Bundle:
    """The bundle, if it is the one that was asked for.

    Raises:
        CatalogError: its bytes are not what the digest says.
    """
    if bundle.digest != digest:
        raise CatalogError(
            f"The bytes of plugin {digest[:12]} are those of {bundle.digest[:12]}: the catalog is damaged; "
            "publish the plugin again"
        )
    return bundle
