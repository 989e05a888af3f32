"""One call in this process, with no queue: the lean path against wasmtime's Python API and against C.

Every call has a fresh store and instance, limits, an epoch deadline, `init` and `call-tool`. CPU time, in
rounds that take turns; each ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
import wasmtime

from benchmarks.case import Bars, Case, Figures, Goal
from benchmarks.in_c import PHASES, CallInC, program
from benchmarks.measuring import median
from penstock_plugins.bundle import Bundle, bundle_from, read_bundle
from penstock_plugins.record import PluginRecord
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.artifacts.compiler import compile_wasm
from penstock_workers.artifacts.source import OpenedArtifact
from penstock_workers.engine import METERED, PLAIN, EngineSettings
from penstock_workers.guest import Guest, GuestPath, StoreLimits
from penstock_workers.lean.guest import LeanPath
from penstock_workers.linking import PluginLinker
from penstock_workers.paths import SandboxPath
from penstock_workers.plugin import WarmPlugin
from penstock_workers.pool import Pool
from tests.conformance.wat import ECHO, component

ROUNDS = 7
#: CPU seconds of one side's turn; a slow call is made twice at least.
TURN_S = 0.1

_FUEL = 1 << 40
_SIZES = {"100 B": 100, "10 KB": 10_000, "1 MB": 1_000_000}
#: What a store takes for no limit.
_UNLIMITED = StoreLimits(-1, -1, -1, -1, -1)

#: Ways into wasmtime: the path, and whether there is a pool.
_WAYS: Mapping[str, tuple[SandboxPath, bool]] = {
    "lean": ("lean", True),
    "lean, no pool": ("lean", False),
    "public API": ("public", False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is called."""

    label: str
    bundle: Bundle
    tool: bytes
    params: Callable[[int], bytes]
    #: Sizes of params that it gets.
    sizes: tuple[str, ...]


def subjects() -> list[Subject]:
    """The echo, and what is shipped in each language."""
    echo = component(call=ECHO, memory='(memory (export "memory") 17)')
    files = {
        "plugin.toml": b'name = "echo"\nversion = "1.0.0"\n[wasm]\ncapabilities = []\n',
        "plugin.wasm": bytes(wasmtime.wat2wasm(echo)),
    }
    found = [_subject("echo", bundle_from(files), "run", _json("text"), tuple(_SIZES))]
    folder = shipped_plugins()
    for name, label, tool, params, sizes in (
        ("text", "text (C)", "stats", _json("text"), tuple(_SIZES)),
        ("markdown", "markdown (JavaScript)", "to_html", _json("text"), ("100 B", "10 KB")),
        ("code", "code (Python)", "imports", _source, ("100 B", "10 KB")),
    ):
        if (folder / name).is_dir():
            found.append(_subject(label, read_bundle(folder / name), tool, params, sizes))
    return found


def in_process(rounds: int) -> Figures:
    """One call in this process: store, limits, instance, `init`, `call-tool`; µs of CPU."""
    figures: Figures = {}
    for subject in subjects():
        calls = _Linked(subject, PLAIN)
        for size in subject.sizes:
            params = subject.params(_SIZES[size])
            sides = {way: calls.call(way, params) for way in _WAYS}
            if program() is not None:
                sides["in C"] = calls.in_c("lean", params)
                sides["in C, no pool"] = calls.in_c("lean, no pool", params)
            _compare(figures, f"{subject.label} {size}", sides, rounds)
        if subject.label in {"echo", "text (C)"}:
            _with_and_without(figures, subject, calls, rounds)
            _by_phase(figures, subject, calls)
    return figures


def _with_and_without(figures: Figures, subject: Subject, plain: _Linked, rounds: int) -> None:
    """What fuel and limits cost a small call."""
    params = subject.params(100)
    metered = _Linked(subject, METERED)
    label = f"{subject.label} 100 B"
    for way in ("lean", "public API"):
        sides = {
            f"{way}, without limits": plain.call(way, params, limits=_UNLIMITED),
            f"{way}, with fuel": metered.call(way, params, fuel=_FUEL),
        }
        for name, spent in _take_turns(sides, rounds).items():
            figures[f"{label}, {name}, µs"] = median(spent)


def _by_phase(figures: Figures, subject: Subject, linked: _Linked) -> None:
    """Where the time of a small call goes; by the wall clock, the median."""
    params = subject.params(100)
    for way in ("lean", "public API"):
        spent = _phases_us(linked.paths[way], linked.limits, subject.tool, params, turns=500)
        for phase, took_us in zip(PHASES, spent, strict=True):
            figures[f"{subject.label} 100 B, {way}: {phase}, µs"] = took_us
    if program() is not None:
        call = linked.c_side("lean", params)
        turns = [call.phases_us(1) for _ in range(500)]
        for k, phase in enumerate(PHASES):
            figures[f"{subject.label} 100 B, in C: {phase}, µs"] = median(turn[k] for turn in turns)


class _Linked:
    """A subject, linked for each way, with native code that was compiled once."""

    def __init__(self, subject: Subject, settings: EngineSettings) -> None:
        self._subject = subject
        self.limits = StoreLimits.of(subject.bundle.manifest.limits())
        fd = compile_wasm(subject.bundle.files[subject.bundle.manifest.wasm.module], settings)
        try:
            self._plugins = {
                way: _link(subject.bundle, fd, settings, path, pool=pool)
                for way, (path, pool) in _WAYS.items()
            }
        finally:
            os.close(fd)
        self.paths: dict[str, GuestPath] = {way: plugin.path for way, plugin in self._plugins.items()}

    def call(
        self, way: str, params: bytes, *, limits: StoreLimits | None = None, fuel: int | None = None
    ) -> Callable[[int], object]:
        """Makes so many calls that way."""
        path, tool, kept = self.paths[way], self._subject.tool, limits or self.limits

        def run(calls: int) -> None:
            for _ in range(calls):
                guest = path.enter(kept, fuel)
                try:
                    guest.start()
                    error = guest.init()
                    answer = guest.call_tool(tool, params, 1 << 22)
                    if fuel is not None:
                        guest.fuel_left()
                finally:
                    guest.close()
                if error is not None or answer.is_error:
                    raise RuntimeError(f"{self._subject.label}: {error or answer.content[:200]!r}")

        return run

    def in_c(self, way: str, params: bytes) -> Callable[[int], object]:
        """The same, in C and with the engine of that way."""
        return self.c_side(way, params).run

    def c_side(self, way: str, params: bytes) -> CallInC:
        """The call in C. Its answer is the lean path's, or there is nothing to compare."""
        path = self.paths[way]
        if not isinstance(path, LeanPath):
            raise TypeError("C borrows the numbers of the lean path")
        call = CallInC(path, self.limits, None, self._subject.tool, params)
        guest = path.enter(self.limits, None)
        guest.start()
        guest.init()
        answer = guest.call_tool(self._subject.tool, params, 1 << 22)
        guest.close()
        if call.run(1) != answer.content:
            raise RuntimeError(f"{self._subject.label}: C gets another answer")
        return call


def _compare(figures: Figures, label: str, sides: Mapping[str, Callable[[int], object]], rounds: int) -> None:
    spent = _take_turns(sides, rounds)
    for side, took_us in spent.items():
        figures[f"{label}, {side}, µs"] = median(took_us)
    for ours, theirs in (("lean", "public API"), ("lean, no pool", "public API")):
        times = median(b / a for a, b in zip(spent[ours], spent[theirs], strict=True))
        figures[f"{label}, {ours}: times as fast as the public API"] = times
    for ours, theirs in (("lean", "in C"), ("lean, no pool", "in C, no pool")):
        if theirs in spent:
            times = median(a / b for a, b in zip(spent[ours], spent[theirs], strict=True))
            figures[f"{label}, {ours}: times as long as in C"] = times


def _take_turns(sides: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, list[float]]:
    """CPU microseconds per call of each side, round by round."""
    spent: dict[str, list[float]] = {side: [] for side in sides}
    calls = {side: max(2, round(TURN_S / _cpu_s(run, 2))) for side, run in sides.items()}
    for _ in range(rounds):
        for side, run in sides.items():
            spent[side].append(_cpu_s(run, calls[side]) * 1e6)
    return spent


def _cpu_s(run: Callable[[int], object], calls: int) -> float:
    started = time.thread_time()
    run(calls)
    return max((time.thread_time() - started) / calls, 1e-6)


def _phases_us(
    path: GuestPath, limits: StoreLimits, tool: bytes, params: bytes, *, turns: int
) -> list[float]:
    now = time.perf_counter_ns
    spent: list[list[float]] = [[] for _ in PHASES]
    for _ in range(turns):
        at = [now()]
        guest: Guest = path.enter(limits, None)
        at.append(now())
        guest.start()
        at.append(now())
        guest.init()
        at.append(now())
        guest.call_tool(tool, params, 1 << 22)
        at.append(now())
        guest.close()
        at.append(now())
        for k in range(len(PHASES)):
            spent[k].append((at[k + 1] - at[k]) / 1000)
    return [median(values) for values in spent]


def _link(bundle: Bundle, fd: int, settings: EngineSettings, path: SandboxPath, *, pool: bool) -> WarmPlugin:
    record = PluginRecord(digest=bundle.digest, manifest=bundle.manifest, tools=(), files=bundle.entries)
    size = os.fstat(fd).st_size
    with OpenedArtifact(fd=os.dup(fd), size_bytes=size, settings=settings, record=record) as opened:
        return PluginLinker(path, pool=Pool() if pool else None).link(opened)


def _subject(
    label: str, bundle: Bundle, tool: str, params: Callable[[int], bytes], sizes: tuple[str, ...]
) -> Subject:
    return Subject(label=label, bundle=bundle, tool=tool.encode(), params=params, sizes=sizes)


def _json(key: str) -> Callable[[int], bytes]:
    return lambda size: orjson.dumps({key: ("lorem ipsum " * (size // 12 + 1))[: size - 12]})


def _source(size: int) -> bytes:
    return orjson.dumps({"source": "import os\n" * (size // 11)})


CASES = {
    "in_process": Case(
        run=in_process,
        full=ROUNDS,
        quick=1,
        goals=(
            Goal(
                part=2,
                text="a fresh-instance echo takes at most a third of the plain API's time",
                figure="echo 100 B, lean: times as fast as the public API",
                at_least=3,
            ),
            Goal(
                part=2,
                text="a fresh-instance echo takes at most 2.5 times what it takes in C",
                figure="echo 100 B, lean: times as long as in C",
                at_most=2.5,
            ),
        ),
        charts=(
            Bars(
                title="One call of the echo with 100 B, fresh instance",
                unit="µs",
                bars={
                    "Python API": "echo 100 B, public API, µs",
                    "lean": "echo 100 B, lean, no pool, µs",
                    "lean, pool": "echo 100 B, lean, µs",
                    "C": "echo 100 B, in C, no pool, µs",
                    "C, pool": "echo 100 B, in C, µs",
                },
            ),
        ),
        durability="none",
    ),
}
