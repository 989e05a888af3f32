"""What a catalog knows of a published plugin: enough for a producer, who has no wasmtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from penstock_plugins.bundle import FileEntry
from penstock_plugins.errors import CatalogError, ManifestError
from penstock_plugins.manifest import Manifest, dump, manifest_from
from penstock_plugins.tool import Tool

_VERSION = 1


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

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The plugin's version."""
        return self.manifest.version

    def to_json(self) -> str:
        """As JSON text; `from_json` reads it back."""
        return orjson.dumps(
            {
                "v": _VERSION,
                "digest": self.digest,
                "manifest": dump(self.manifest),
                "tools": [tool.to_dict() for tool in self.tools],
                "files": [[e.path, e.size_bytes, e.sha256] for e in self.files],
                "imports": list(self.imports),
            }
        ).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> PluginRecord:
        """The record that `to_json` wrote.

        Raises:
            CatalogError: it is none.
        """
        try:
            return _read(orjson.loads(text))
        except (ManifestError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise CatalogError(
                f"A plugin's record cannot be read: {type(error).__name__}: {error}"
            ) from error


def _read(shape: Any) -> PluginRecord:
    if shape["v"] != _VERSION:
        raise ValueError(f"version {shape['v']!r}; this release reads {_VERSION}")
    return PluginRecord(
        digest=_text(shape["digest"]),
        manifest=manifest_from(shape["manifest"]),
        tools=tuple(Tool.from_dict(tool) for tool in shape["tools"]),
        files=tuple(
            FileEntry(path=_text(path), size_bytes=int(size), sha256=_text(sha256))
            for path, size, sha256 in shape["files"]
        ),
        imports=tuple(_text(name) for name in shape["imports"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
