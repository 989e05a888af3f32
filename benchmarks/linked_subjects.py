"""What `in_process` calls: a subject in each language, linked for each way into wasmtime."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
import wasmtime

from benchmarks.in_c import CallInC
from penstock_plugins.bundle import Bundle, bundle_from, read_bundle
from penstock_plugins.record import PluginRecord
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.artifacts.compiler import compile_wasm
from penstock_workers.artifacts.source import OpenedArtifact
from penstock_workers.engine import EngineSettings
from penstock_workers.guest import GuestPath, StoreLimits
from penstock_workers.lean.guest import LeanPath
from penstock_workers.linking import PluginLinker
from penstock_workers.paths import SandboxPath
from penstock_workers.plugin import WarmPlugin
from penstock_workers.pool import Pool
from tests.conformance.wat import ECHO, component

#: Bytes of params by what a size is called.
SIZES = {"100 B": 100, "10 KB": 10_000, "1 MB": 1_000_000}

#: Ways into wasmtime: the path, and whether there is a pool.
WAYS: Mapping[str, tuple[SandboxPath, bool]] = {
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
    found = [_subject("echo", bundle_from(files), "run", _json("text"), tuple(SIZES))]
    folder = shipped_plugins()
    for name, label, tool, params, sizes in (
        ("text", "text (C)", "stats", _json("text"), tuple(SIZES)),
        ("markdown", "markdown (JavaScript)", "to_html", _json("text"), ("100 B", "10 KB")),
        ("code", "code (Python)", "imports", _source, ("100 B", "10 KB")),
    ):
        if (folder / name).is_dir():
            found.append(_subject(label, read_bundle(folder / name), tool, params, sizes))
    return found


class Linked:
    """A subject, linked for each way, with native code that was compiled once."""

    def __init__(self, subject: Subject, settings: EngineSettings) -> None:
        self._subject = subject
        self.limits = StoreLimits.of(subject.bundle.manifest.limits())
        fd = compile_wasm(subject.bundle.files[subject.bundle.manifest.wasm.module], settings)
        try:
            self._plugins = {
                way: _link(subject.bundle, fd, settings, path, pool=pool)
                for way, (path, pool) in WAYS.items()
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
