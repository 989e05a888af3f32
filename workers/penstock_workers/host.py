"""The host interface `grain:plugin/host`: what a guest may ask of us, and what it gets.

One `Host` belongs to one linked plugin; the call that runs is swapped in and out of it, since a process
runs one guest call at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from penstock_plugins.policy import Grants
from penstock_workers.log_sink import LogSink
from penstock_workers.text import clean

if TYPE_CHECKING:
    from wasmtime.component import LinkerInstance

    from penstock_workers.crossing import HostCall
    from penstock_workers.surroundings import Surroundings

logger = logging.getLogger(__name__)

#: Distinct refusals that a result keeps, and bytes of each.
MAX_DENIED = 32
DENIED_BYTES = 200

#: Bytes of a name that `env-get` looks at.
_KEY_BYTES = 256

#: A line on a guest's standard output is logged at this length, ended or not.
_LINE_BYTES = 4096

_NO_HTTP = "http capability not granted"


class CallNotes:
    """What one call may do, and what is written down while it runs."""

    __slots__ = (
        "_denied",
        "_grants",
        "_log_bytes",
        "_sink",
        "dropped",
        "fuel",
        "handles",
        "interruption",
        "lines",
        "surroundings",
        "truncated",
        "unfinished",
    )

    def __init__(self, grants: Grants, sink: LogSink, surroundings: Surroundings) -> None:
        self._grants = grants
        self._sink = sink
        #: The clocks and random numbers of a guest with WASI.
        self.surroundings = surroundings
        #: Handles of WASI resources that the guest was given.
        self.handles = 0
        #: The beginnings of lines on the guest's standard output and error, by level.
        self.unfinished: dict[str, bytes] = {}
        self._log_bytes = 0
        self._denied: dict[str, None] = {}
        #: Log lines that are kept with the result.
        self.lines: list[dict[str, str]] = []
        #: Log lines that came after the caps were reached.
        self.dropped = 0
        #: Whether a log line was cut.
        self.truncated = False
        #: Fuel that the guest used. None: not metered.
        self.fuel: int | None = None
        #: A KeyboardInterrupt or its like that came while a host function ran.
        self.interruption: BaseException | None = None

    def metadata(self) -> dict[str, Any]:
        """What the result says about it: fields of `ResultMetadata` that differ from their defaults."""
        found: dict[str, Any] = {}
        if self.fuel is not None:
            found["fuel"] = self.fuel
        if self.lines:
            found["logs"] = self.lines
        if self.dropped:
            found["logs_dropped"] = self.dropped
        if self._denied:
            found["denied"] = list(self._denied)
        if self.truncated or self.dropped:
            found["truncated"] = True
        return found

    @property
    def log_room_bytes(self) -> int:
        """Bytes that may still be logged; 0 when no line is kept any more."""
        limits = self._grants.limits
        if len(self.lines) >= limits.log_lines:
            return 0
        return limits.log_bytes - self._log_bytes

    def may(self, capability: str) -> bool:
        """Whether the call has a capability; the caller writes a refusal down, with what it was for."""
        return capability in self._grants.capabilities

    def deny(self, what: str) -> None:
        """Write a refusal down, once."""
        if len(self._denied) < MAX_DENIED:
            self._denied[clean(what, DENIED_BYTES)] = None

    def log(self, plugin: str, level: str, message: str, *, cut: bool) -> None:
        """Keep a line and pass it on; the caller has read no more of it than `log_room_bytes`."""
        line = clean(message, self.log_room_bytes)
        self._log_bytes += len(line.encode()) + 1
        self.truncated = self.truncated or cut
        self.lines.append({"level": level, "message": line})
        try:
            self._sink.write(level=level, plugin=plugin, message=line)
        except Exception:
            # A full disk must not fail the call: the line is kept with its result.
            logger.exception("The log sink failed", extra={"action": "guest.log", "plugin": plugin})

    def environment(self, name: str) -> str | None:
        """A variable that the manifest allows and the operator set; never this process's own."""
        return self._grants.env.get(name)


class Host:
    """The host functions of one plugin."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        #: The call that runs. None between calls: nothing of a guest runs then.
        self.notes: CallNotes | None = None

    def define_in(self, instance: LinkerInstance) -> list[object]:
        """Define the functions in a linker's instance; returns what must be kept alive with the linker."""
        # Imported here: it loads wasmtime, and this module's types are read by processes that must not.
        from penstock_workers.crossing import define

        functions = {
            "log": self._log,
            "env-get": self._env_get,
            "http-get": self._http,
            "http-post": self._http,
        }
        return [define(instance, name, function, self.note_error) for name, function in functions.items()]

    def note_error(self, error: BaseException) -> None:
        """A host function failed and the guest traps. An interruption of this process goes on after it."""
        if isinstance(error, Exception):
            logger.error(
                "A host function failed",
                exc_info=error,
                extra={"action": "host.error", "plugin": self._plugin},
            )
        elif self.notes is not None:
            self.notes.interruption = error

    @property
    def running(self) -> CallNotes:
        """The notes of the call that runs."""
        if self.notes is None:
            raise RuntimeError("a guest calls its host while no call runs")
        return self.notes

    def write_stream(self, level: str, written: bytes) -> None:
        """Take what the guest writes to its standard output or error: its lines are logged."""
        notes = self.running
        *lines, rest = (notes.unfinished.pop(level, b"") + written).split(b"\n")
        for line in lines:
            self._log_line(notes, level, line)
        if len(rest) > _LINE_BYTES:
            self._log_line(notes, level, rest)
        elif rest:
            notes.unfinished[level] = rest

    def finish_streams(self) -> None:
        """Log what the guest wrote last, without the end of a line."""
        notes = self.running
        for level, rest in list(notes.unfinished.items()):
            self._log_line(notes, level, rest)
        notes.unfinished.clear()

    def _log_line(self, notes: CallNotes, level: str, line: bytes) -> None:
        room = notes.log_room_bytes
        if not notes.may("log"):
            notes.deny("log")
        elif room <= 0:
            notes.dropped += 1
        else:
            notes.log(self._plugin, level, line[:room].decode(errors="replace"), cut=len(line) > room)

    def _log(self, call: HostCall) -> None:
        notes = self.running
        if not notes.may("log"):
            notes.deny("log")
        elif notes.log_room_bytes <= 0:
            notes.dropped += 1
        else:
            level, _ = call.text(0, 8)
            message, cut = call.text(1, notes.log_room_bytes)
            notes.log(self._plugin, level, message, cut=cut)

    def _env_get(self, call: HostCall) -> None:
        notes = self.running
        name, cut = call.text(0, _KEY_BYTES)
        value = notes.environment(name) if notes.may("env") and not cut else None
        if value is None:
            notes.deny(f"env-get {name}")
        call.reply(value)

    def _http(self, call: HostCall) -> None:
        url, _ = call.text(0, DENIED_BYTES)
        self.running.deny(f"http {url}")
        call.reply(_NO_HTTP)
