"""Where plugins are kept by digest. One protocol; a folder and Redis implement it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock_plugins.bundle import Bundle
from penstock_plugins.errors import CatalogError
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool


class Catalog(Protocol):
    """Keeps bundles, and says what there is."""

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """Keep a bundle. Publishing the same one again changes nothing.

        Raises:
            CatalogError: its name and version are taken by another digest.
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

    def records(self) -> list[PluginRecord]:
        """All plugins, sorted by name and version."""
        ...

    def version(self) -> int:
        """A number that changes when the catalog does."""
        ...


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


def unknown_digest(digest: str) -> CatalogError:
    """The error for a digest that a catalog does not have."""
    return CatalogError(
        f"There is no plugin with digest {digest[:12]}: publish it with `penstock plugin publish`"
    )


def verified(bundle: Bundle, digest: str) -> Bundle:
    """The bundle, if it is the one that was asked for.

    Raises:
        CatalogError: its bytes are not what the digest says.
    """
    if bundle.digest != digest:
        raise CatalogError(
            f"The bytes of plugin {digest[:12]} are those of {bundle.digest[:12]}: the catalog is damaged"
        )
    return bundle
