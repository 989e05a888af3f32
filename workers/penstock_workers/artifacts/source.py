"""What a pool process asks for, and what it gets: the seam between who keeps native code and who runs it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from penstock_workers.engine import EngineSettings

if TYPE_CHECKING:
    from types import TracebackType

    from penstock_plugins.record import PluginRecord


class Origin(StrEnum):
    """Where native code came from, in the words of the log."""

    MEMORY = "at hand"
    DISK = "loaded from disk"
    FLEET = "taken from the fleet"
    COMPILED = "compiled here"


@dataclass(slots=True, kw_only=True)
class OpenedArtifact:
    """Native code of one plugin in a sealed memfd that this process owns.

    Load it with `Component.deserialize_file(engine, opened.path)` and close it: the mapping stays.
    """

    #: The descriptor; -1 once closed.
    fd: int
    size_bytes: int
    #: Settings of the engine that it is for.
    settings: EngineSettings
    #: What the plugin is, as the catalog says: its manifest and its tools.
    record: PluginRecord
    #: Where it came from for this request.
    origin: Origin = Origin.MEMORY

    @property
    def compiled(self) -> bool:
        """Whether somebody had to compile for this request, rather than only load."""
        return self.origin is Origin.COMPILED

    @property
    def path(self) -> str:
        """A path at which this process, and no other, can map the code."""
        if self.fd < 0:
            raise ValueError("This artifact is closed: open it again.")
        return f"/proc/self/fd/{self.fd}"

    def close(self) -> None:
        """Give the descriptor back. Closing twice is fine."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ArtifactSource(Protocol):
    """Where a process that runs calls gets native code from."""

    def open(self, digest: str, settings: EngineSettings | None = None) -> OpenedArtifact:
        """The native code of this bundle; the caller closes it.

        Args:
            digest: Of the bundle.
            settings: Of the engine that is to run it. None: what the source prepares this plugin for.

        Raises:
            CatalogError: no such bundle, or its bytes are not what its digest says.
            ArtifactError: it could not be compiled, or not be handed over.
        """
        ...
