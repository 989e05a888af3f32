"""Finds the plugins in a folder; a bad one is reported and the rest load (P-2, P-4)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.errors import BundleError, PenstockError

logger = logging.getLogger(__name__)

#: Folders whose names begin so are somebody's tools or notes, not plugins.
_SKIPPED = (".", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One folder that should be a plugin: its bundle, or why there is none."""

    source: Path
    bundle: Bundle | None = None
    error: PenstockError | None = None

    def to_dict(self) -> dict[str, Any]:
        """`{source, success, tools?, error?}`; the tools are those that the manifest names."""
        shape: dict[str, Any] = {"source": str(self.source), "success": self.bundle is not None}
        if self.bundle is not None:
            shape["tools"] = [tool.name for tool in self.bundle.manifest.tools]
        if self.error is not None:
            shape["error"] = str(self.error)
        return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a folder holds, sorted by name."""

    results: tuple[Found, ...] = ()

    @property
    def bundles(self) -> list[Bundle]:
        """The plugins that can be used."""
        return [found.bundle for found in self.results if found.bundle is not None]

    @property
    def total_found(self) -> int:
        """Folders that should be plugins."""
        return len(self.results)

    @property
    def loaded(self) -> int:
        """How many of them are."""
        return len(self.bundles)

    @property
    def failed(self) -> int:
        """How many of them are not."""
        return self.total_found - self.loaded

    def to_dict(self) -> dict[str, Any]:
        """`{total_found, loaded, failed, results}`, ready for JSON."""
        return {
            "total_found": self.total_found,
            "loaded": self.loaded,
            "failed": self.failed,
            "results": [found.to_dict() for found in self.results],
        }


def discover(folder: Path) -> Discovery:
    """Read every plugin of a folder. Nothing is compiled or run.

    Args:
        folder: its folders are the plugins. One that is not there has none.

    Raises:
        BundleError: it is no folder, or cannot be listed.
    """
    try:
        sources = sorted(place for place in folder.iterdir() if _may_be_plugin(place))
    except FileNotFoundError:
        return Discovery()
    except NotADirectoryError as error:
        raise BundleError(f"{folder} is no folder: name the folder whose folders are plugins") from error
    except OSError as error:
        raise BundleError(f"{folder} cannot be listed: {error.strerror}") from error
    #: Where a name and version was seen first.
    taken: dict[tuple[str, str], Path] = {}
    return Discovery(results=tuple(_read(source, taken) for source in sources))


def _may_be_plugin(place: Path) -> bool:
    return not place.name.startswith(_SKIPPED) and place.is_dir()


def _read(source: Path, taken: dict[tuple[str, str], Path]) -> Found:
    try:
        bundle = read_bundle(source)
        manifest = bundle.manifest
        first = taken.setdefault((manifest.name, manifest.version), source)
        if first is not source:
            raise BundleError(f"{source}: {manifest.name} {manifest.version} is already in {first}")
    except (PenstockError, OSError) as error:
        failure = error if isinstance(error, PenstockError) else BundleError(f"{source}: {error}")
        logger.warning(
            "A plugin cannot be used: %s", failure, extra={"action": "plugin_skipped", "source": str(source)}
        )
        return Found(source=source, error=failure)
    return Found(source=source, bundle=bundle)
