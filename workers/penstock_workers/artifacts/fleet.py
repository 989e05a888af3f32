"""Native code for the whole fleet: what one host compiled, the others take, when the fleet's key says so.

Whoever can write to where it is exchanged could hand machine code to every worker; the key is what keeps
them from it. Nothing that is read there is mapped, or written to this host's disk, before it was checked.
Nobody depends on it either: what cannot be had in time, or cannot be believed, is compiled here.
"""

from __future__ import annotations

import hmac
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from blake3 import blake3

from penstock_plugins.errors import CatalogError, UnreachableError
from penstock_workers.artifacts.exchange import ArtifactExchange
from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.artifacts.mac import MAC_BYTES, code_mac, owned_name
from penstock_workers.artifacts.memfd import sealed_bytes

logger = logging.getLogger(__name__)

#: Separates this use of the fleet's key from every other; changes when the layout of an entry does.
_KEY_CONTEXT = "penstock 2026-11 native code exchanged by the hosts of a fleet"
#: Seconds for which another host that says it compiles is waited for.
WAIT_S = 60.0
#: Seconds between two looks whether it is done.
_LOOK_S = 0.2
#: Seconds between two words of a host that compiles; after three that did not come it is taken for gone.
_WORD_S = 2.0
#: Seconds for which the exchange is left alone after it did not answer.
PAUSE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCounts:
    """What came of the exchange, since this process started."""

    taken: int = 0
    #: Not whole, or with a wrong code of authentication.
    refused: int = 0
    offered: int = 0
    #: Times that there was no answer.
    unreachable: int = 0


class Fleet:
    """The hosts that have one key in common. Only a worker's parent holds one."""

    def __init__(
        self,
        exchange: ArtifactExchange,
        secret: bytes,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._exchange = exchange
        self._key = bytearray(blake3(secret, derive_key_context=_KEY_CONTEXT).digest())
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._counts = FleetCounts()
        self._away_until = 0.0
        #: What is to be offered, by name; a thread of its own works it off.
        self._offers: dict[str, tuple[ArtifactIdentity, int]] = {}
        self._offering = False
        #: What this process said that it makes; set when it is made, or given up.
        self._claims: dict[str, threading.Event] = {}

    @property
    def counts(self) -> FleetCounts:
        """What came of it so far."""
        return self._counts

    def take(self, identity: ArtifactIdentity) -> int | None:
        """Checked native code in a sealed memfd that the caller closes.

        None: it is for the caller to compile, who then calls `offer`, or `give_up`. While another host says
        that it compiles, it is waited for.
        """
        if self._clock() < self._away_until:
            return None
        name = owned_name(identity, self._key)
        until = self._clock() + WAIT_S
        try:
            while True:
                code_fd = self._fetch(name, identity)
                if code_fd is not None:
                    return code_fd
                if self._clock() > until:
                    return None
                if self._exchange.claim(name):
                    return self._fetch_after_claim(name, identity)
                self._pause(_LOOK_S)
        except UnreachableError as error:
            self._note_away(error)
            return None

    def offer(self, identity: ArtifactIdentity, code_fd: int) -> None:
        """Let the others have this, unless they do already. It is sent later, by a thread; nobody waits."""
        name = owned_name(identity, self._key)
        with self._lock:
            if name in self._offers:
                return
            self._offers[name] = (identity, os.dup(code_fd))
            if not self._offering:
                self._offering = True
                threading.Thread(target=self._send_all, name="penstock-fleet", daemon=True).start()

    def give_up(self, identity: ArtifactIdentity) -> None:
        """It could not be compiled: whoever waits for it may try."""
        self._release(owned_name(identity, self._key))

    def after_fork_child(self) -> None:
        """In a pool process: hold neither the key nor what was to be sent."""
        self._key[:] = bytes(len(self._key))
        for _, fd in self._offers.values():
            os.close(fd)
        self._lock = threading.Lock()
        self._offers, self._claims, self._offering = {}, {}, False

    def _fetch(self, name: str, identity: ArtifactIdentity) -> int | None:
        try:
            entry = self._exchange.fetch(name)
            if entry is None:
                return None
            code_fd = self._checked(entry, identity)
        except CatalogError as reason:
            self._count(refused=1)
            logger.warning(
                "Native code of the fleet is not used: %s; compiling it here",
                reason,
                extra={"action": "artifact_refused", "digest": identity.digest, "reason": str(reason)},
            )
            self._exchange.drop(name)
            return None
        self._count(taken=1)
        return code_fd

    def _checked(self, entry: bytes, identity: ArtifactIdentity) -> int:
        """The code of an entry in sealed memory, where it is checked.

        Raises:
            CatalogError: the fleet's key did not make it.
        """
        if len(entry) <= MAC_BYTES:
            raise CatalogError("it is not whole")
        code_fd = sealed_bytes("penstock-code", memoryview(entry)[MAC_BYTES:])
        if not hmac.compare_digest(entry[:MAC_BYTES], code_mac(self._key, identity, code_fd)):
            os.close(code_fd)
            raise CatalogError("it was changed, or is of another plugin or another system")
        return code_fd

    def _fetch_after_claim(self, name: str, identity: ArtifactIdentity) -> int | None:
        """Who had the claim before may have made it between our look and our claim."""
        done = self._claims[name] = threading.Event()
        threading.Thread(
            target=self._keep_claim, args=(name, done), name="penstock-fleet-claim", daemon=True
        ).start()
        code_fd = self._fetch(name, identity)
        if code_fd is not None:
            self._release(name)
        return code_fd

    def _keep_claim(self, name: str, done: threading.Event) -> None:
        try:
            while not done.wait(_WORD_S):
                self._exchange.claim(name)
        except UnreachableError as error:
            self._note_away(error)

    def _release(self, name: str) -> None:
        done = self._claims.pop(name, None)
        if done is None:
            return
        done.set()
        try:
            self._exchange.release(name)
        except UnreachableError as error:
            self._note_away(error)  # the claim ends by itself

    def _send_all(self) -> None:
        while True:
            with self._lock:
                if not self._offers:
                    self._offering = False
                    return
                name, (identity, code_fd) = next(iter(self._offers.items()))
            try:
                self._send_one(name, identity, code_fd)
            except Exception:
                logger.exception("Native code could not be offered to the fleet")
            finally:
                with self._lock:
                    del self._offers[name]
                os.close(code_fd)

    def _send_one(self, name: str, identity: ArtifactIdentity, code_fd: int) -> None:
        try:
            if self._clock() >= self._away_until:
                self._send(name, identity, code_fd)
        except UnreachableError as error:
            self._note_away(error)
        finally:
            self._release(name)

    def _send(self, name: str, identity: ArtifactIdentity, code_fd: int) -> None:
        if self._exchange.renew(name):
            return
        size_bytes = os.fstat(code_fd).st_size
        taken = False
        if MAC_BYTES + size_bytes <= self._exchange.max_bytes:
            # Nobody waits for it, and no thread may come while `inherited` loads plugins before a fork.
            mac = code_mac(self._key, identity, code_fd, max_threads=1)
            taken = self._exchange.offer(name, mac + os.pread(code_fd, size_bytes, 0))
        if taken:
            self._count(offered=1)
        logger.info(
            "Native code of %s %s: %.1f MB",
            identity.digest[:12],
            "is offered to the fleet" if taken else "does not fit into the fleet's Redis",
            size_bytes / 1e6,
            extra={
                "action": "artifact_offered" if taken else "artifact_too_large",
                "digest": identity.digest,
            },
        )

    def _note_away(self, error: UnreachableError) -> None:
        self._count(unreachable=1)
        self._away_until = self._clock() + PAUSE_S
        logger.warning(
            "Native code is not exchanged with the fleet for %g s: %s",
            PAUSE_S,
            error,
            extra={"action": "fleet_unreachable"},
        )

    def _count(self, **more: int) -> None:
        with self._lock:
            counts = self._counts
            self._counts = replace(counts, **{name: getattr(counts, name) + n for name, n in more.items()})
