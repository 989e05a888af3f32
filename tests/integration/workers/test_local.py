"""A plugin folder called in this process, as `penstock call --local` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BundleError, ManifestError, PermissionDeniedError, ToolNotFoundError
from penstock_plugins.policy import OperatorPolicy
from penstock_workers import Executor
from penstock_workers.local import LocalExecutor
from penstock_workers.surroundings import Freeze
from tests.conformance.guest import LOOP, Guest, guest
from tests.conformance.guests import GOOD, REFUSED
from tests.conformance.house import WITH_WASI
from tests.conformance.wasi_guests import CHANCE_AND_TIME


def folder_of(plugin: Guest, parent: Path) -> Path:
    """A plugin's folder on the disk."""
    folder = parent / plugin.name
    folder.mkdir()
    (folder / "plugin.toml").write_text(plugin.manifest)
    (folder / "plugin.wasm").write_bytes(plugin.wasm)
    return folder


def opened(plugin: Guest, tmp_path: Path, **options: object) -> LocalExecutor:
    """The plugin, ready to be called; its native code is kept beside it."""
    return Executor.local(folder_of(plugin, tmp_path), cache_dir=tmp_path / "cache", **options)  # type: ignore[arg-type]


def test_tool_is_called_by_either_name(tmp_path: Path) -> None:
    """The result is the one that a worker's would be, and says where it ran."""
    with opened(GOOD, tmp_path) as executor:
        short = executor.run("run", {"say": "hi"})
        full = executor.run("good.run", {"say": "hi"})

    assert short.data == full.data == {"say": "hi"}
    assert short.tool == "good.run"
    assert short.metadata.plugin_digest == GOOD.bundle.digest
    assert short.metadata.worker == f"local:{os.getpid()}"


def test_tools_are_known_before_they_are_called(tmp_path: Path) -> None:
    """So that arguments can be typed by their schema."""
    with opened(GOOD, tmp_path) as executor:
        names = [tool.full_name for tool in executor.tools]
        schema = executor.tool("run").parameters
        with pytest.raises(ToolNotFoundError, match="Unknown tool"):
            executor.run("walk", {})

    assert names == ["good.run"]
    assert schema == {"type": "object"}


def test_failure_is_a_result(tmp_path: Path) -> None:
    """Also that of params that are no JSON, and of a call that takes too long."""
    with opened(guest("endless", call=LOOP), tmp_path) as executor:
        late = executor.run("run", {}, timeout_s=0.05)
        strange = executor.run("run", {"object": object()})

    assert late.error is not None
    assert late.error.code is ErrorCode.TIMEOUT
    assert strange.error is not None
    assert strange.error.code is ErrorCode.VALIDATION_ERROR


def test_native_code_is_kept_for_the_next_time(tmp_path: Path) -> None:
    """The second process that opens the folder compiles nothing."""
    with opened(GOOD, tmp_path) as first:
        first.run("run", {})
    kept = sorted(path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.cwasm"))

    with Executor.local(tmp_path / "good", cache_dir=tmp_path / "cache") as second:
        result = second.run("run", {"n": 1})

    assert result.data == {"n": 1}
    assert len(kept) == 1


def test_plugin_with_problems_is_not_opened(tmp_path: Path) -> None:
    """The error says all of them; so does that of a folder that is none."""
    with pytest.raises(BundleError, match="wasi:sockets/tcp"):
        opened(REFUSED["imports-sockets"], tmp_path)
    with pytest.raises(BundleError, match="no folder"):
        Executor.local(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="Plugin manifest not found"):
        Executor.local(tmp_path / "empty")


def test_operator_decides_here_as_well(tmp_path: Path) -> None:
    """A capability is not granted because the plugin is on this disk; chance and time can be frozen."""
    allowed = opened(
        CHANCE_AND_TIME, tmp_path, operator_policy=lambda _: WITH_WASI, surroundings=Freeze(seed=1)
    )
    folder = tmp_path / CHANCE_AND_TIME.name
    refused = Executor.local(folder, cache_dir=tmp_path / "cache", operator_policy=lambda _: OperatorPolicy())

    with allowed, refused:
        results = [allowed.run("run", {}).data for _ in range(2)]
        with pytest.raises(PermissionDeniedError, match="wasi"):
            refused.run("run", {})

    assert results[0] == results[1]


def test_importing_the_package_loads_no_wasmtime() -> None:
    """Neither does importing the executor: a worker's parent process does both."""
    script = (
        "import sys, penstock_workers; penstock_workers.Executor;"
        "import penstock_workers.plugin, penstock_workers.cache, penstock_workers.inspection;"
        "print([name for name in sys.modules if name.startswith('wasmtime')])"
    )

    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert answer.stdout == "[]\n"
