"""What each function of the harmless WASI answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_workers.surroundings import RESOLUTION_NS

if TYPE_CHECKING:
    from penstock_workers.crossing import HostCall
    from penstock_workers.host import Host
    from penstock_workers.surroundings import Surroundings

#: Random bytes that one request gets at most; a guest that asks for more traps.
_RANDOM_BYTES = 4096
#: Bytes of one write: every byte is a value of its own on its way here, and costs as much.
_WRITE_BYTES = 4096

#: Handles that one call may be given: each costs the host memory that no limit of the store counts.
_HANDLES = 1000

#: What stands for the streams: the number of the resource, and the level at which its lines are logged.
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_LEVELS = {_STDOUT: "info", _STDERR: "warn"}

_STREAM_ERROR = "variant{last-operation-failed(own), closed(_)}"
_DATETIME = "func() -> record{seconds: u64, nanoseconds: u32}"


class WasiCall:
    """One call of one function."""

    __slots__ = ("_call", "_host", "_resource_ids", "_this")

    def __init__(self, call: HostCall, host: Host, resource_ids: Mapping[str, int], this: int) -> None:
        self._call = call
        self._this = this
        self._host = host
        self._resource_ids = resource_ids

    @property
    def surroundings(self) -> Surroundings:
        """The clocks and the random numbers of the running call."""
        return self._host.running.surroundings

    def number(self, index: int) -> int:
        """A u64 argument."""
        return self._call.number(index)

    def own(self, resource: str, rep: int) -> object:
        """A new handle of a resource."""
        from penstock_workers.crossing import HostTrapError

        notes = self._host.running
        notes.handles += 1
        if notes.handles > _HANDLES:
            raise HostTrapError(f"at most {_HANDLES} handles in a call")
        return self._call.own(self._resource_ids[resource], rep)

    def write(self) -> None:
        """Log what the guest writes to a stream of its own: `(self, contents)`."""
        from penstock_workers.crossing import HostTrapError

        if self._call.length(1) > _WRITE_BYTES:
            raise HostTrapError(f"a write has at most {_WRITE_BYTES} bytes")
        written = self._call.octets(1, _WRITE_BYTES)
        self._host.write_stream(_LEVELS[self._this], written)


@dataclass(frozen=True, slots=True)
class WasiFunction:
    """One function: its name and type as a component must import it, and its answer."""

    name: str
    type: str
    #: Returns the result.
    answer: Callable[[WasiCall], object]


def _now(call: WasiCall) -> object:
    return _record(*divmod(call.surroundings.wall_ns(), 1_000_000_000))


def _resolution(_: WasiCall) -> object:
    return _record(0, RESOLUTION_NS)


def _record(seconds: int, nanoseconds: int) -> object:
    from wasmtime.component import Record

    record = Record()
    record.__dict__.update(seconds=seconds, nanoseconds=nanoseconds)
    return record


def _random_bytes(call: WasiCall) -> object:
    from penstock_workers.crossing import HostTrapError

    count = call.number(0)
    if count > _RANDOM_BYTES:
        raise HostTrapError(f"at most {_RANDOM_BYTES} random bytes at once")
    return call.surroundings.octets(count)


def _random_u64(call: WasiCall) -> object:
    return int.from_bytes(call.surroundings.octets(8), "little")


def _seed(call: WasiCall) -> object:
    return (_random_u64(call), _random_u64(call))


def _exit(_: WasiCall) -> object:
    from penstock_workers.crossing import HostTrapError

    raise HostTrapError("the guest called exit")


def _done(_: WasiCall) -> object:
    # wasmtime-py tags a result only where its two sides could be mistaken for each other, as here.
    from wasmtime.component import Variant

    return Variant("ok")


def _closed(_: WasiCall) -> object:
    """The end of a stream: `err(closed)`."""
    return None


def _write(call: WasiCall) -> object:
    call.write()
    return _done(call)


_RANDOM = "func(len: u64) -> list<u8>"
_WRITE = f"func(self: borrow, contents: list<u8>) -> result<_, {_STREAM_ERROR}>"
_FLUSH = f"func(self: borrow) -> result<_, {_STREAM_ERROR}>"
_READ = f"func(self: borrow, len: u64) -> result<list<u8>, {_STREAM_ERROR}>"
_TERMINAL = "func() -> option<own>"

FUNCTIONS: Mapping[str, tuple[WasiFunction, ...]] = {
    "wasi:cli/environment": (
        WasiFunction("get-environment", "func() -> list<tuple<string, string>>", lambda _: []),
        WasiFunction("get-arguments", "func() -> list<string>", lambda _: []),
        WasiFunction("initial-cwd", "func() -> option<string>", lambda _: None),
    ),
    "wasi:cli/exit": (WasiFunction("exit", "func(status: result<_, _>)", _exit),),
    "wasi:cli/stdin": (
        WasiFunction("get-stdin", "func() -> own", lambda call: call.own("input-stream", _STDIN)),
    ),
    "wasi:cli/stdout": (
        WasiFunction("get-stdout", "func() -> own", lambda call: call.own("output-stream", _STDOUT)),
    ),
    "wasi:cli/stderr": (
        WasiFunction("get-stderr", "func() -> own", lambda call: call.own("output-stream", _STDERR)),
    ),
    "wasi:cli/terminal-stdin": (WasiFunction("get-terminal-stdin", _TERMINAL, lambda _: None),),
    "wasi:cli/terminal-stdout": (WasiFunction("get-terminal-stdout", _TERMINAL, lambda _: None),),
    "wasi:cli/terminal-stderr": (WasiFunction("get-terminal-stderr", _TERMINAL, lambda _: None),),
    "wasi:clocks/wall-clock": (
        WasiFunction("now", _DATETIME, _now),
        WasiFunction("resolution", _DATETIME, _resolution),
    ),
    "wasi:clocks/monotonic-clock": (
        WasiFunction("now", "func() -> u64", lambda call: call.surroundings.monotonic_ns()),
        WasiFunction("resolution", "func() -> u64", lambda _: RESOLUTION_NS),
    ),
    "wasi:filesystem/preopens": (
        WasiFunction("get-directories", "func() -> list<tuple<own, string>>", lambda _: []),
    ),
    "wasi:io/streams": (
        WasiFunction("[method]input-stream.read", _READ, _closed),
        WasiFunction("[method]input-stream.blocking-read", _READ, _closed),
        WasiFunction(
            "[method]output-stream.check-write",
            f"func(self: borrow) -> result<u64, {_STREAM_ERROR}>",
            lambda _: _WRITE_BYTES,
        ),
        WasiFunction("[method]output-stream.write", _WRITE, _write),
        WasiFunction("[method]output-stream.blocking-write-and-flush", _WRITE, _write),
        WasiFunction("[method]output-stream.flush", _FLUSH, _done),
        WasiFunction("[method]output-stream.blocking-flush", _FLUSH, _done),
    ),
    "wasi:random/random": (
        WasiFunction("get-random-bytes", _RANDOM, _random_bytes),
        WasiFunction("get-random-u64", "func() -> u64", _random_u64),
    ),
    "wasi:random/insecure": (
        WasiFunction("get-insecure-random-bytes", _RANDOM, _random_bytes),
        WasiFunction("get-insecure-random-u64", "func() -> u64", _random_u64),
    ),
    "wasi:random/insecure-seed": (WasiFunction("insecure-seed", "func() -> tuple<u64, u64>", _seed),),
}
