"""Finds the plugins in a folder; a bad one is reported and the rest load (P-2, P-4)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.errors import BundleError, PenstockError
from penstock_plugins.policy import unknown_capabilities
from penstock_plugins.requirements import check_dependencies, check_host, host_version
from penstock_plugins.tool import Tool

logger = logging.getLogger(__name__)

#: Folders whose names begin so are somebody's tools or notes, not plugins.
_SKIPPED = (".", "_")

#: Gives the tools of a bundle, or raises one of our errors: whatever loads it further than reading.
Loader = Callable[[Bundle], Sequence[Tool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One folder that should be a plugin: its bundle, or why there is none."""

    source: Path
    bundle: Bundle | None = None
    tools: tuple[Tool, ...] = ()
    error: PenstockError | None = None
    #: What its author may want to know.
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """`{source, success, tools?, error?}`."""
        shape: dict[str, Any] = {"source": str(self.source), "success": self.bundle is not None}
        if self.bundle is not None:
            shape["tools"] = [tool.name for tool in self.tools]
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


def manifest_tools(bundle: Bundle) -> list[Tool]:
    """The tools that the manifest names. What their params look like only the guest can say."""
    manifest = bundle.manifest
    return [
        Tool(
            name=table.name,
            plugin=manifest.name,
            version=manifest.version,
            description=table.description or "",
            traits=table.traits(),
        )
        for table in manifest.tools
    ]


def discover(
    folder: Path,
    *,
    load: Loader = manifest_tools,
    available: Iterable[Tool] = (),
    strict: bool = False,
) -> Discovery:
    """Read every plugin of a folder. Nothing is compiled or run, unless `load` does.

    Args:
        folder: its folders are the plugins. One that is not there has none.
        load: gives the tools of a plugin that was read.
        available: tools from elsewhere; they count for what a plugin requires.
        strict: a plugin that asks for a capability which nobody knows is bad.

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
    results = [_read(source, taken, load, strict) for source in sources]
    results = _without_dependents(results, list(available))
    for found in results:
        _log(found)
    return Discovery(results=tuple(results))


def _may_be_plugin(place: Path) -> bool:
    return not place.name.startswith(_SKIPPED) and place.is_dir()


def _read(source: Path, taken: dict[tuple[str, str], Path], load: Loader, strict: bool) -> Found:
    try:
        bundle = read_bundle(source)
        manifest = bundle.manifest
        unknown = unknown_capabilities(manifest, strict=strict)
        warnings = [f"Nobody knows the capability '{capability}'" for capability in unknown]
        if (warning := check_host(manifest, host_version())) is not None:
            warnings.append(warning)
        tools = tuple(load(bundle))
        first = taken.setdefault((manifest.name, manifest.version), source)
        if first is not source:
            raise BundleError(f"{source}: {manifest.name} {manifest.version} is already in {first}")
    except (PenstockError, OSError) as error:
        failure = error if isinstance(error, PenstockError) else BundleError(f"{source}: {error}")
        return Found(source=source, error=failure)
    return Found(source=source, bundle=bundle, tools=tools, warnings=tuple(warnings))


def _without_dependents(results: list[Found], available: list[Tool]) -> list[Found]:
    """Fail what requires tools that are not there, until nothing that is left does."""
    while True:
        tools = available + [tool for found in results for tool in found.tools]
        checked = [_with_dependencies(found, tools) for found in results]
        if all(new is old for new, old in zip(checked, results, strict=True)):
            return results
        results = checked


def _with_dependencies(found: Found, tools: list[Tool]) -> Found:
    if found.bundle is None:
        return found
    try:
        check_dependencies(found.bundle.manifest, tools)
    except PenstockError as error:
        return Found(source=found.source, error=error)
    return found


def _log(found: Found) -> None:
    if found.error is not None:
        logger.warning(
            "A plugin cannot be used: %s",
            found.error,
            extra={"action": "plugin_skipped", "source": str(found.source)},
        )
    for warning in found.warnings:
        logger.warning(
            "The plugin in %s: %s",
            found.source,
            warning,
            extra={"action": "plugin_warning", "source": str(found.source)},
        )
