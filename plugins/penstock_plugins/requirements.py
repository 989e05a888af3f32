"""What a plugin needs around it: tools of other plugins, and a release of Penstock (P-3, P-5)."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from penstock_plugins.errors import ManifestError
from penstock_plugins.manifest import Manifest
from penstock_plugins.tool import Tool
from penstock_plugins.versions import parse_version


def host_version() -> str | None:
    """The installed release of Penstock. None: it is not installed."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return None


def missing_dependencies(manifest: Manifest, tools: Iterable[Tool]) -> list[str]:
    """The required tools that are not among these, each with the version that it needs."""
    versions: dict[str, list[str]] = {}
    for tool in tools:
        versions.setdefault(tool.full_name, []).append(tool.version)
    return [
        name if name not in versions else f"{name} (there is {', '.join(sorted(versions[name]))})"
        for name, wanted in sorted(manifest.requirements().items())
        if not any(map(wanted.allows, versions.get(name, ())))
    ]


def check_dependencies(manifest: Manifest, tools: Iterable[Tool]) -> None:
    """Refuse a plugin that needs tools which are not there.

    Raises:
        ManifestError: "Missing dependencies: …".
    """
    if missing := missing_dependencies(manifest, tools):
        raise ManifestError(f"Missing dependencies: {', '.join(missing)}")


def check_host(manifest: Manifest, host: str | None) -> str | None:
    """Refuse a plugin that is made for a later Penstock.

    Args:
        manifest: what the plugin needs.
        host: the release of Penstock. None: it is not known, and nothing is checked.

    Returns:
        A warning when it was made for an earlier one. None: it fits.

    Raises:
        ManifestError: Penstock is older than `min_host`.
    """
    if host is None:
        return None
    if manifest.min_host is not None and parse_version(host) < parse_version(manifest.min_host):
        raise ManifestError(
            f"It needs Penstock {manifest.min_host} or later, this is {host}: upgrade Penstock"
        )
    if manifest.max_host is not None and parse_version(host) > parse_version(manifest.max_host):
        return f"It was made for Penstock up to {manifest.max_host}, this is {host}"
    return None
