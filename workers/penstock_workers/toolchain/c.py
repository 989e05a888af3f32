"""Builds a plugin from C: compiled by zig's clang (`ziglang` on PyPI), then wrapped as a component.

Needs no SDK and no libc: `c_runtime/` has the header that authors include and the few files behind it. The
same sources, toolchain and `plugin.toml` always give the same bytes.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs

from penstock_plugins.bundle import MANIFEST_NAME
from penstock_plugins.errors import BuildError, ManifestError
from penstock_plugins.manifest import Manifest, read_manifest
from penstock_workers.toolchain.sections import CUSTOM, HEADER_BYTES, read_sections, write_sections
from penstock_workers.toolchain.wrap import wrap_core_module

logger = logging.getLogger(__name__)

#: Folder of `penstock.h`, for editors and for builds of one's own.
INCLUDE_FOLDER = Path(__file__).parent / "c_runtime" / "include"

#: Bytes of the guest's stack. It lies below its data, so that an overflow traps instead of writing into it.
STACK_BYTES = 64 * 1024

_FLAGS = (
    "-target",
    "wasm32-freestanding",
    "-std=c17",
    "-O2",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Wl,--no-entry",
    # For the names of functions: see _without_debug_information.
    "-g",
    f"-Wl,-z,stack-size={STACK_BYTES}",
)


def build_c_plugin(folder: Path) -> Path:
    """Compile the plugin's `src/*.c` and write its artifact.

    Args:
        folder: a plugin folder, with `plugin.toml` and `src/`.

    Returns:
        The artifact's path, as the manifest names it.

    Raises:
        ManifestError: the manifest is missing or cannot be used.
        BuildError: there is nothing to compile, the compiler is not installed or refuses the sources (its
            messages are in the error), or the result is no plugin. Its warnings are logged.
    """
    manifest = _read_manifest(folder)
    sources = sorted(str(path.relative_to(folder)) for path in (folder / "src").glob("**/*.c"))
    if not sources:
        raise BuildError(f"There are no C files in {folder / 'src'}.")
    definitions = (
        f'-DPST_PLUGIN_NAME="{manifest.name}"',
        f'-DPST_PLUGIN_VERSION="{manifest.version}"',
    )
    with tempfile.TemporaryDirectory(prefix="penstock-build-") as scratch:
        core = Path(scratch) / f"{manifest.name}.wasm"
        _compile(folder, [*definitions, *sources], core)
        wrapped = wrap_core_module(_without_debug_information(core.read_bytes()))
    return _write(folder / manifest.wasm.module, wrapped)


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_NAME
    try:
        manifest = read_manifest(path.read_bytes(), path=str(path))
    except FileNotFoundError as error:
        raise ManifestError(f"Plugin manifest not found: {path}") from error
    if manifest.wasm.kind != "component":
        raise BuildError(f"{path} says kind = {manifest.wasm.kind!r}; C sources become a component.")
    return manifest


def _compile(folder: Path, arguments: list[str], output: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        raise BuildError("Building C plugins needs the zig compiler: pip install 'penstock[build]'.")
    runtime = sorted(map(str, INCLUDE_FOLDER.parent.glob("*.c")))
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "-I", str(INCLUDE_FOLDER)]
    cache = platformdirs.user_cache_dir("penstock", appauthor=False)
    done = subprocess.run(
        [*command, *arguments, *runtime, "-o", str(output)],
        cwd=folder,
        env={
            **os.environ,
            "ZIG_GLOBAL_CACHE_DIR": os.path.join(cache, "zig"),
            "ZIG_LOCAL_CACHE_DIR": os.path.join(cache, "zig"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"The C sources of {folder} do not compile:\n{done.stderr.strip()}")
    if done.stderr.strip():
        logger.warning(
            "The compiler warns about %s:\n%s", folder, done.stderr.strip(), extra={"action": "build.warned"}
        )


def _without_debug_information(core: bytes) -> bytes:
    """The module with only one custom section, the names of its functions.

    A trap's message shows them, and one of them says that memory has run out. zig keeps them only together
    with debug information, which holds paths of this machine.
    """
    kept = (
        section for section in read_sections(core) if section.kind != CUSTOM or section.custom_name == "name"
    )
    return write_sections(core[:HEADER_BYTES], kept)


def _write(artifact: Path, wrapped: bytes) -> Path:
    """Replace the artifact in one step: nobody ever reads half of it."""
    unfinished = artifact.with_name(f".{artifact.name}.{os.getpid()}")
    unfinished.write_bytes(wrapped)
    unfinished.replace(artifact)
    return artifact
