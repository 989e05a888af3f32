"""The private cache of toolchains: filled once, whole or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain import toolchains
from penstock_workers.toolchain.toolchains import installed, toolchain_cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_it_is_installed_once_and_said_once() -> None:
    """The second build finds it."""
    said: list[str] = []

    def install(folder: Path) -> None:
        (folder / "program").write_text("1")

    first = installed("tool-1", install, "Installing tool 1", said.append)
    second = installed("tool-1", lambda folder: pytest.fail(f"{folder} again"), "never", said.append)

    assert first == second == toolchain_cache() / "tool-1"
    assert [path.name for path in first.iterdir()] == ["program"]
    assert said == ["Installing tool 1"]


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The next build tries again."""

    def install(folder: Path) -> None:
        (folder / "half").write_text("1")
        raise BuildError("no network")

    with pytest.raises(BuildError, match="no network"):
        installed("tool-1", install, "", toolchains.silent)

    assert [path.name for path in toolchain_cache().iterdir()] == [".tool-1.lock"]


def test_builds_at_the_same_time_install_it_once() -> None:
    """The others wait."""
    begun, may_end = threading.Event(), threading.Event()
    times: list[int] = []

    def install(folder: Path) -> None:
        times.append(1)
        begun.set()
        assert may_end.wait(10)

    with ThreadPoolExecutor(3) as threads:
        builds = [threads.submit(installed, "tool-1", install, "", lambda _: None) for _ in range(3)]
        assert begun.wait(10)
        may_end.set()
        folders = {build.result(10) for build in builds}

    assert len(folders) == len(times) == 1
