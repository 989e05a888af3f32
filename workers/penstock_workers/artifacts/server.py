"""Hands native code from the worker's parent to its pool processes, over a private socket.

The parent runs no guest and compiles nothing itself. It alone holds the key; a pool process gets a
descriptor of memory that was checked and that nobody can change. It asks by path rather than through
something inherited, so that processes that are forked later, or spawned, ask in the same way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from penstock_plugins.errors import ArtifactError, PenstockError
from penstock_plugins.limits import MIB
from penstock_workers.artifacts.compiler import CompileLimits
from penstock_workers.artifacts.shelf import Shelf, metered_when_asked
from penstock_workers.artifacts.socket_folder import SOCKET_NAME, listen_in_private, remove_stale_folders
from penstock_workers.artifacts.stock import Preparation, Stock
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.artifacts.wire import WireError, failure, receive, send, settings_named
from penstock_workers.engine import EngineSettings

if TYPE_CHECKING:
    from penstock_plugins.catalog import Catalog
    from penstock_plugins.record import PluginRecord
    from penstock_workers.artifacts.source import OpenedArtifact

logger = logging.getLogger(__name__)

#: Bytes of a request; one has less than 200.
_REQUEST_BYTES = 4096
#: Seconds that a peer has to say what it wants, or to take what it gets.
_PEER_S = 10.0
#: Requests that are served at the same time; more wait to be accepted.
_AT_ONCE = 64


class ArtifactServer:
    """Prepares plugins, and lends their native code to processes of this user on this host."""

    def __init__(
        self,
        catalog: Catalog,
        store: ArtifactStore,
        *,
        settings_of: Callable[[PluginRecord], EngineSettings] = metered_when_asked,
        limits: CompileLimits | None = None,
        max_bytes: int = 2048 * MIB,
        folder: Path | None = None,
    ) -> None:
        self._shelf = Shelf(catalog, store, settings_of=settings_of, limits=limits, max_bytes=max_bytes)
        self._stock = Stock(catalog, self._shelf)
        #: Where the folder of the socket is made.
        self._parent_folder = folder or Path(tempfile.gettempdir())
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._peers: set[socket.socket] = set()
        #: What is on its way to a peer.
        self._lent: dict[int, OpenedArtifact] = {}
        self._listener: socket.socket | None = None
        self._folder: Path | None = None
        self._accepting: threading.Thread | None = None

    @property
    def socket_path(self) -> Path:
        """Where pool processes ask.

        Raises:
            ArtifactError: the server is not started.
        """
        if self._folder is None:
            raise ArtifactError("The artifact server is not started.")
        return self._folder / SOCKET_NAME

    def start(self) -> Path:
        """Listen, in a thread; returns the path of the socket."""
        remove_stale_folders(self._parent_folder)
        self._folder, listener = listen_in_private(self._parent_folder, backlog=_AT_ONCE)
        self._listener = listener
        self._accepting = threading.Thread(
            target=self._accept, args=(listener,), name="penstock-artifacts", daemon=True
        )
        self._accepting.start()
        return self.socket_path

    def stop(self) -> None:
        """Stop listening and give back memory and folder. Stopping twice is fine."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        if self._accepting is not None:
            self._accepting.join()
            self._accepting = None
        self._shelf.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def prepare(self, digest: str, settings: EngineSettings | None = None) -> None:
        """Have the native code of this bundle at hand.

        Raises:
            CatalogError: no such bundle, or its bytes are not what its digest says.
            ArtifactError: it could not be compiled or kept.
        """
        self._shelf.take(digest, settings).close()

    def open(self, digest: str, settings: EngineSettings | None = None) -> OpenedArtifact:
        """The same for this process itself, which closes it. Raises as `prepare` does."""
        return self._shelf.take(digest, settings)

    def digests(self) -> frozenset[str]:
        """What is at hand, so that nobody waits for it."""
        return self._shelf.digests()

    def prepare_all(self, records: Iterable[PluginRecord]) -> Preparation:
        """Prepare these; what fails is reported, logged, and tried again by `refresh`."""
        return self._stock.prepare_all(records)

    def refresh(self) -> Preparation:
        """Prepare what was published since, drop what is gone. To be called now and then, by one thread."""
        return self._stock.refresh()

    def after_fork_child(self) -> None:
        """In a pool process, first thing: hold no key, no memory, and neither end of the socket.

        Nothing is shut down or removed: all that is the parent's. The server is of no use here afterwards.
        """
        for peer in (*self._peers, *([self._listener] if self._listener else [])):
            peer.close()
        for lent in self._lent.values():
            lent.close()
        self._lent = {}
        self._peers, self._listener, self._accepting, self._folder = set(), None, None, None
        self._shelf.after_fork_child()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            self._places.acquire()
            try:
                peer, _ = listener.accept()
            except OSError as error:
                self._places.release()
                if self._listener is not listener:
                    return
                logger.warning("The artifact server could not accept a connection: %s", error)
                time.sleep(0.1)  # out of descriptors, most likely: they come back
                continue
            self._peers.add(peer)
            # One may wait for a compile while the others are served.
            threading.Thread(target=self._serve, args=(peer,), name="penstock-artifact", daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer:
                self._answer(peer)
        except (WireError, OSError) as error:
            logger.warning("A pool process did not get its native code: %s", error)
        finally:
            self._peers.discard(peer)
            self._places.release()

    def _answer(self, peer: socket.socket) -> None:
        _check_user(peer)
        peer.settimeout(_PEER_S)
        if not peer.recv(1, socket.MSG_PEEK):
            return  # another worker's start, which looked whether this server is alive
        request, _ = receive(peer, max_bytes=_REQUEST_BYTES, timeout_s=_PEER_S)
        peer.settimeout(_PEER_S)  # receiving has used some of it up
        try:
            opened = self._shelf.take(str(request.get("digest")), _asked_settings(request))
        except PenstockError as error:
            send(peer, failure(error))
        except Exception as error:
            logger.exception("The artifact server failed")
            send(peer, failure(ArtifactError(f"{type(error).__name__}: {error}")))
        else:
            self._lent[id(opened)] = opened
            try:
                header = {
                    "size_bytes": opened.size_bytes,
                    "engine": opened.settings.fingerprint,
                    "origin": opened.origin,
                    "record": opened.record.to_json() if request.get("record", True) else None,
                }
                send(peer, header, fd=opened.fd)
            finally:
                opened.close()
                del self._lent[id(opened)]


def _asked_settings(request: dict[str, Any]) -> EngineSettings | None:
    engine = request.get("engine")
    return None if engine is None else settings_named(engine)


def _check_user(peer: socket.socket) -> None:
    """The folder keeps other users out; this holds where somebody opened it."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid != os.geteuid():
        raise WireError(f"User {uid} asked; only user {os.geteuid()} is served.")
