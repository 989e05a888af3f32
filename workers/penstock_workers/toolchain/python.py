"""Builds a plugin from Python: interpreter, plugin and what it imports, by componentize-py (from PyPI).

Pure-Python packages that `requirements.txt` names are inside of the artifact. Without WASI there are no
files, no clock and no entropy inside: what a plugin imports must be imported when it is built.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from penstock_plugins.errors import BuildError
from penstock_plugins.manifest import Manifest
from penstock_workers.toolchain.sources import (
    ENTRIES,
    component_manifest,
    has_batch_entry_point,
    write_artifact,
)
from penstock_workers.toolchain.toolchains import (
    COMPONENTIZE_PY,
    PYTHON_INSIDE,
    Say,
    componentize_py,
    installed,
    pip,
    silent,
)
from penstock_workers.toolchain.wit import WORLD, host_functions, narrowed_wit

_RUNTIME = Path(__file__).parent / "python_runtime"
_APP = "penstock_app"
_REQUIREMENTS = "requirements.txt"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def build_python_plugin(folder: Path, *, packed: bool = False, say: Say = silent) -> Path:
    """Put the plugin's `src/plugin.py`, and what it imports, into its artifact.

    Args:
        folder: has `plugin.toml`, `src/plugin.py`, and `requirements.txt` when the plugin uses packages.
        packed: write the artifact compressed.
        say: is told what takes long.

    Returns:
        The artifact's path: as the manifest names it, or that with `.xz`.

    Raises:
        ManifestError: the manifest is missing or cannot be used.
        BuildError: the toolchain cannot be installed, or refuses the sources; its messages are in the error.
    """
    folder = folder.resolve()
    manifest = component_manifest(folder)
    if not (folder / ENTRIES["python"]).is_file():
        raise BuildError(f"There is no {folder / ENTRIES['python']}.")
    command = componentize_py(say)
    packages = _packages(folder, say)
    with tempfile.TemporaryDirectory(prefix="penstock-build-") as name:
        scratch = Path(name)
        shutil.copytree(folder / "src", scratch / "src", ignore=_IGNORED)
        shutil.copytree(_RUNTIME, scratch / "runtime", ignore=_IGNORED)
        _write_glue(scratch, manifest)
        if packages is not None:
            shutil.copytree(packages, scratch / "packages", ignore=_IGNORED)
        paths = [part for part in ("runtime", "src", "packages") if (scratch / part).is_dir()]
        say(f"Putting Python into {folder.name}: this takes about half a minute")
        done = command.run(
            *("--wit-path", "world.wit", "--world", WORLD, "componentize", _APP),
            *(option for path in paths for option in ("--python-path", path)),
            *("--stub-wasi", "--output", "plugin.wasm"),
            cwd=scratch,
            # An environment without packages: it would find ours otherwise.
            environment={"VIRTUAL_ENV": str(scratch / "nothing")},
            starts_plugin=True,
        )
        output = scratch / "plugin.wasm"
        if done.returncode != 0 or not output.is_file():
            said = _cleaned(done.stderr.strip() or done.stdout.strip())
            raise BuildError(f"The Python of {folder} does not start:\n{said}")
        component = output.read_bytes()
    return write_artifact(folder / manifest.wasm.module, component, packed=packed)


def _packages(folder: Path, say: Say) -> Path | None:
    """Where the packages are that the plugin names: a folder of the cache."""
    requirements = folder / _REQUIREMENTS
    if not requirements.is_file():
        return None
    try:
        wanted = requirements.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BuildError(f"{requirements} is no UTF-8 text: {error}") from error
    if not any(line.split("#")[0].strip() for line in wanted.splitlines()):
        return None
    digest = hashlib.sha256(f"{COMPONENTIZE_PY}\0{wanted}".encode()).hexdigest()

    def install(target: Path) -> None:
        pure = ("--only-binary=:all:", "--implementation=py", "--abi=none", "--platform=any")
        try:
            pip(
                [
                    *pure,
                    f"--python-version={PYTHON_INSIDE}",
                    "--target",
                    str(target),
                    "-r",
                    str(requirements),
                ],
                folder,
            )
        except BuildError as error:
            raise BuildError(
                f"Only pure-Python packages, as wheels, can be inside of a plugin.\n{error}"
            ) from error

    return installed(
        f"pip-{digest[:24]}", install, f"Installing the packages of {folder.name} from PyPI", say
    )


def _write_glue(scratch: Path, manifest: Manifest) -> None:
    batch = has_batch_entry_point(manifest)
    (scratch / "world.wit").write_text(narrowed_wit(manifest.wasm.capabilities, batch=batch))
    (scratch / "nothing" / "lib" / "site-packages").mkdir(parents=True)
    functions = tuple(name.replace("-", "_") for name in host_functions(manifest.wasm.capabilities))
    (scratch / "runtime" / "penstock_identity.py").write_text(
        f"NAME = {manifest.name!r}\nVERSION = {manifest.version!r}\nHOST_FUNCTIONS = {functions!r}\n"
        f"BATCH_ENTRY_POINT = {batch!r}\n"
    )


def _cleaned(said: str) -> str:
    """What componentize-py says, without the frames of its own."""
    lines = said.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("Traceback")), 0)
    kept = [line for line in lines[start:] if "componentize_py" not in line]
    return "\n".join(kept[-30:])
