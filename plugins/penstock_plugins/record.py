"""What a catalog knows of a published plugin: enough for a producer, who has no wasmtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from penstock_plugins.bundle import FileEntry, is_digest
from penstock_plugins.errors import CatalogError, ManifestError
from penstock_plugins.limits import MIB
from penstock_plugins.manifest import Manifest, dump, manifest_from
from penstock_plugins.printable import printable
from penstock_plugins.tool import Tool

#: Schema of the JSON text. A release reads its own and says so when it meets another.
RECORD_VERSION = 1
#: Gives the manifest of the plugin with a digest and its files.
ManifestOf = Callable[[str, tuple[FileEntry, ...]], Manifest]
#: A longer record is neither written nor read: every producer reads all of them.
MAX_RECORD_BYTES = 4 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """One published plugin."""

    #: sha256 of its bundle, 64 hex digits.
    digest: str
    manifest: Manifest
    #: What its guest declared when it was published, with the manifest's traits.
    tools: tuple[Tool, ...]
    #: Path, size and sha256 of each file.
    files: tuple[FileEntry, ...]
    #: What the component imports.
    imports: tuple[str, ...] = ()
    #: The pipelines of a plugin of composite tools, by tool, as JSON values.
    pipelines: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The plugin's version."""
        return self.manifest.version

    def to_json(self) -> str:
        """As JSON text; `from_json` reads it back.

        Raises:
            CatalogError: it is too long, or a tool declares what is no JSON.
        """
        shape = {
            "v": RECORD_VERSION,
            "digest": self.digest,
            "manifest": dump(self.manifest),
            "tools": [tool.to_dict() for tool in self.tools],
            "files": [list(entry) for entry in self.files],
            "imports": list(self.imports),
        }
        if self.pipelines:
            shape["pipelines"] = dict(self.pipelines)
        try:
            text = orjson.dumps(shape)
        except TypeError as error:
            raise CatalogError(f"{self.name} {self.version}: its record is no JSON: {error}") from error
        if len(text) > MAX_RECORD_BYTES:
            raise CatalogError(
                f"{self.name} {self.version}: its record has {len(text)} bytes, at most {MAX_RECORD_BYTES} "
                "are kept: shorten the descriptions and schemas of its tools"
            )
        return text.decode()

    @classmethod
    def from_json(cls, text: str | bytes, *, manifest_of: ManifestOf | None = None) -> PluginRecord:
        """The record that `to_json` wrote.

        Args:
            text: of the record.
            manifest_of: gives its manifest, or refuses. None: the record's copy is read.

        Raises:
            CatalogError: it is none.
        """
        if len(text) > MAX_RECORD_BYTES:
            raise CatalogError(f"A plugin's record is longer than {MAX_RECORD_BYTES} bytes")
        try:
            return _read(orjson.loads(text), manifest_of)
        except (ManifestError, LookupError, TypeError, ValueError, AttributeError) as error:
            why = printable(f"{type(error).__name__}: {error}")
            raise CatalogError(f"A plugin's record cannot be read: {why}") from error


def _read(shape: Any, manifest_of: ManifestOf | None) -> PluginRecord:
    if shape["v"] != RECORD_VERSION:
        raise ValueError(f"it has version {shape['v']!r}, this release reads {RECORD_VERSION}")
    digest = _digest(shape["digest"])
    files = tuple(_file(*entry) for entry in shape["files"])
    manifest = manifest_from(shape["manifest"]) if manifest_of is None else manifest_of(digest, files)
    record = PluginRecord(
        digest=digest,
        manifest=manifest,
        tools=tuple(_tool(tool, manifest) for tool in shape["tools"]),
        files=files,
        imports=tuple(_text(name) for name in shape["imports"]),
        pipelines=_pipelines(shape.get("pipelines", {})),
    )
    if manifest.composite is not None and set(record.pipelines) != {tool.name for tool in record.tools}:
        raise ValueError("its tools are not its pipelines")
    for tool in record.tools:
        if tool.plugin != record.name:
            raise ValueError(f"{tool.full_name} is no tool of {record.name}")
    return record


def _tool(shape: Any, manifest: Manifest) -> Tool:
    tool = Tool.from_dict(shape)
    table = manifest.tool_table(tool.name)
    # Records of earlier releases say it in the manifest only.
    return tool if table is None or "delivery" in shape else replace(tool, delivery=table.delivery())


def _pipelines(shape: object) -> dict[str, dict[str, Any]]:
    if not isinstance(shape, dict) or not all(isinstance(one, dict) for one in shape.values()):
        raise TypeError("its pipelines are none")
    return shape


def _file(path: object, size_bytes: object, sha256: object) -> FileEntry:
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise TypeError(f"{size_bytes!r} is no size")
    return FileEntry(path=_text(path), size_bytes=size_bytes, sha256=_digest(sha256))


def _digest(value: object) -> str:
    if not is_digest(_text(value)):
        raise ValueError(f"{value!r} is no digest")
    return _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
