"""The built wheel: everything is in it, and it works where only it is installed."""

from __future__ import annotations

import json
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import output_of

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "penstock_plugins": "plugins",
    "penstock_broker_config": "broker_config",
    "penstock_scheduler": "scheduler",
    "penstock_workers": "workers",
    "penstock": "gateway",
}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation: the build backend is installed, and nothing is downloaded.
    output_of([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT])
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Iterator[zipfile.ZipFile]:
    """The wheel, to look into."""
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel; what it depends on is borrowed from ours."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    output_of([*pip, "install", "--quiet", "--no-deps", "--no-index", next(distributions.glob("*.whl"))])
    # Searched for packages, but the .pth files in it are not read: our editable install is not among them.
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def answer_of(python: Path, program: str, folder: Path) -> Any:
    """What a program prints as JSON, run far from the source tree."""
    return json.loads(output_of([python, "-c", program], folder=folder))


def test_the_wheel_has_the_five_packages_with_their_types(wheel: zipfile.ZipFile) -> None:
    """Every module of the source tree, a `py.typed` each, and no other package."""
    inside = set(wheel.namelist())

    for package, folder in PACKAGES.items():
        modules = {
            str(path.relative_to(ROOT / folder))
            for pattern in ("*.py", "*.lua", "*.h", "py.typed")
            for path in (ROOT / folder / package).rglob(pattern)
        }
        assert f"{package}/py.typed" in modules
        assert modules - inside == set()
    assert {name.partition("/")[0] for name in inside if ".dist-info/" not in name} == set(PACKAGES)


def test_the_wheel_has_the_worlds_and_the_shipped_plugins(wheel: zipfile.ZipFile) -> None:
    """What `penstock demo` and plugin authors need is there, byte for byte."""
    for folder, pattern in (("wit", "**/*.wit"), ("examples", "*/plugin.*")):
        originals = list((ROOT / "plugins" / folder).glob(pattern))
        assert originals
        for original in originals:
            name = f"penstock_plugins/{original.relative_to(ROOT / 'plugins')}"
            assert wheel.read(name) == original.read_bytes()


def test_the_wheel_has_nothing_that_was_made_on_the_way(wheel: zipfile.ZipFile) -> None:
    """No bytecode, no caches, no tests."""
    leftovers = [
        name for name in wheel.namelist() if "__pycache__" in name or name.endswith((".pyc", ".cwasm"))
    ]

    assert leftovers == []
    assert not [name for name in wheel.namelist() if name.startswith("tests")]


def test_a_producer_needs_no_wasmtime(wheel: zipfile.ZipFile) -> None:
    """Only the extras `worker` and `build` ask for it."""
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    requirements = metadata.get_all("Requires-Dist") or []

    assert "celery<5.8,>=5.7" in requirements
    assert not [line for line in requirements if line.startswith("wasmtime") and "extra ==" not in line]
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_source_distribution_has_the_tests_and_the_sources_of_plugins(distributions: Path) -> None:
    """Who has it can build and test all of it."""
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}

    assert {"Makefile", "CHANGELOG.md", "LICENSE", "tests/conftest.py", "scripts/setup"} <= inside
    assert any(name.startswith("plugins/examples/text/src/") for name in inside)


def test_the_installed_wheel_imports_without_sandbox_and_command_line(
    installed: Path, tmp_path: Path
) -> None:
    """`import penstock` comes from the wheel, and loads neither wasmtime nor typer."""
    program = "import json, penstock, sys; print(json.dumps([penstock.__file__, sorted(sys.modules)]))"
    file, loaded = answer_of(installed, program, tmp_path)

    assert Path(file).is_relative_to(installed.parent.parent)
    assert not {"wasmtime", "typer", "rich", "penstock_workers"} & set(loaded)


def test_the_installed_wheel_finds_its_plugins_and_worlds(installed: Path, tmp_path: Path) -> None:
    """In the wheel, not in a source tree that happens to be near."""
    program = (
        "import json; from penstock_plugins.shipped import shipped_plugins, wit_folder\n"
        "print(json.dumps([str(shipped_plugins()), str(wit_folder())]))"
    )
    plugins, worlds = answer_of(installed, program, tmp_path)

    assert (Path(plugins) / "text" / "plugin.wasm").is_file()
    assert list(Path(worlds).rglob("*.wit"))
    assert Path(plugins).is_relative_to(installed.parent.parent)


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    """The script `penstock` is there and is this version."""
    assert output_of([installed.parent / "penstock", "--version"], folder=tmp_path) == "penstock 0.1.0\n"
