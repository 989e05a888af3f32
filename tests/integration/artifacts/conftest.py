"""Small components, and one that is expensive to compile."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
import wasmtime

from penstock_plugins.bundle import bundle_from
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool
from penstock_workers.artifacts.store import ArtifactStore

#: Answers 7. Of no world of ours: the artifacts do not care.
SEVEN = """
(component
  (core module $m (func (export "seven") (result i32) (i32.const 7)))
  (core instance $i (instantiate $m))
  (func (export "seven") (result u32) (canon lift (core func $i "seven"))))
"""


class Publish(Protocol):
    """How a test publishes a plugin."""

    def __call__(self, name: str = ..., *, wasm: bytes = ..., limits: str = ...) -> PluginRecord: ...


@pytest.fixture(scope="session")
def seven() -> bytes:
    """A component that exports `seven`."""
    return bytes(wasmtime.wat2wasm(SEVEN))


@pytest.fixture(scope="session")
def expensive() -> bytes:
    """A component of a megabyte whose compilation takes ten seconds of CPU, and 100 MiB at once.

    A quick machine takes longer than a second, too: the time grows faster than the length of a function, of
    which there are more than most machines have cores.
    """
    turns = "".join(
        f"(loop (local.set 1 (i32.add (local.get 1) (i32.const {k}))) (br_if 0 (local.get 1)))"
        for k in range(3000)
    )
    functions = f"(func (param i32) (result i32) (local i32) {turns} (local.get 1))" * 24
    return bytes(wasmtime.wat2wasm(f"(component (core module $m {functions}))"))


@pytest.fixture
def catalog(tmp_path: Path) -> FolderCatalog:
    """An empty catalog."""
    return FolderCatalog(tmp_path / "catalog")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def publish(catalog: FolderCatalog, seven: bytes) -> Publish:
    """Publishes a component, `seven` unless another is given, and returns its record."""

    def publish(name: str = "seven", *, wasm: bytes = seven, limits: str = "") -> PluginRecord:
        manifest = f'name = "{name}"\nversion = "1.0.0"\n[wasm]\ncapabilities = []\n'
        if limits:
            manifest += f"[wasm.limits]\n{limits}\n"
        bundle = bundle_from({"plugin.toml": manifest.encode(), "plugin.wasm": wasm})
        return catalog.publish(bundle, [Tool(name="seven", plugin=name, version="1.0.0")])

    return publish
