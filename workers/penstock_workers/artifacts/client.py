"""Asks the worker's parent for native code, and believes only memory that nobody can change."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock_plugins.errors import ArtifactError
from penstock_plugins.limits import MIB
from penstock_plugins.record import PluginRecord
from penstock_workers.artifacts.memfd import is_sealed
from penstock_workers.artifacts.source import OpenedArtifact, Origin
from penstock_workers.artifacts.wire import WireError, raise_failure, receive, send, settings_named
from penstock_workers.engine import EngineSettings

if TYPE_CHECKING:
    from penstock_workers.known import KnownPlugins

#: Bytes of an answer: a plugin's record, with the schemas of all its tools.
_ANSWER_BYTES = 16 * MIB
_CONNECT_S = 10.0


class ArtifactClient:
    """The `ArtifactSource` of a pool process. Connects for each request, so that there is nothing to mend."""

    def __init__(
        self, socket_path: str | Path, *, timeout_s: float = 900.0, known: KnownPlugins | None = None
    ) -> None:
        self._path = str(socket_path)
        #: Whose records need not be sent.
        self._known = known or {}
        #: Seconds for an answer: a plugin that nobody asked for before is compiled first.
        self._timeout_s = timeout_s

    def open(self, digest: str, settings: EngineSettings | None = None) -> OpenedArtifact:
        """The native code of this bundle; the caller closes it.

        Args:
            digest: Of the bundle.
            settings: Of the engine that is to run it. None: what the worker prepares this plugin for.

        Raises:
            CatalogError: no such bundle, or its bytes are not what its digest says.
            ArtifactError: it could not be compiled, the parent does not answer, or what came is not sealed.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(_CONNECT_S)
            try:
                peer.connect(self._path)
                known = self._known.get(digest)
                asked = {"digest": digest, "engine": settings and settings.fingerprint}
                send(peer, {**asked, "record": known is None})
            except OSError as error:
                raise ArtifactError(
                    f"The worker's parent does not answer at {self._path}: {error}"
                ) from error
            answer, fd = receive(peer, max_bytes=_ANSWER_BYTES, timeout_s=self._timeout_s)
        try:
            raise_failure(answer)
            record = PluginRecord.from_json(answer["record"]) if known is None else known.record
            return _believed(fd, answer, record, digest, settings)
        except BaseException:
            if fd is not None:
                os.close(fd)
            raise


def _believed(
    fd: int | None, answer: dict[str, Any], record: PluginRecord, digest: str, wanted: EngineSettings | None
) -> OpenedArtifact:
    """What was sent, when it is what was asked for and can no longer change.

    Raises:
        WireError: it is not.
    """
    if fd is None:
        raise WireError("The answer came without native code.")
    if not is_sealed(fd):
        raise WireError(
            "The native code that came is not sealed: somebody could change it. It is not loaded."
        )
    settings = settings_named(answer["engine"])
    size_bytes = os.fstat(fd).st_size
    if record.digest != digest or size_bytes != answer["size_bytes"] or settings != (wanted or settings):
        raise WireError("The native code that came is not the one that was asked for.")
    return OpenedArtifact(
        fd=fd,
        size_bytes=size_bytes,
        settings=settings,
        record=record,
        origin=Origin(answer["origin"]),
    )
