"""Builds a plugin from C: compiled by zig's clang (`ziglang` on PyPI), then wrapped as a component.

Needs no SDK: `c_runtime/` has the header that authors include and the few files behind it. There is no C
library unless `[build]` says `libc = "wasi"`; what that one wants of a system is answered inside the plugin.
The same sources, toolchain and `plugin.toml` always give the same bytes.
"""

from __future__ import annotations

import logging
import re
import tempfile
from pathlib import Path

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain.sections import CUSTOM, HEADER_BYTES, read_sections, write_sections
from penstock_workers.toolchain.sources import component_manifest, has_batch_entry_point, write_artifact
from penstock_workers.toolchain.toolchains import ZIG, Say, silent, toolchain_cache, zig
from penstock_workers.toolchain.wrap import wrap_core_module

logger = logging.getLogger(__name__)

#: Folder of `penstock.h`, for editors and for builds of one's own.
INCLUDE_FOLDER = Path(__file__).parent / "c_runtime" / "include"

#: Bytes of the guest's stack. It lies below its data, so that an overflow traps instead of writing into it.
STACK_BYTES = 64 * 1024

_RUNTIME = INCLUDE_FOLDER.parent
_FLAGS = (
    "-O2",
    "-Wall",
    "-Wextra",
    # For the names of functions: see _without_debug_information.
    "-g",
    f"-Wl,-z,stack-size={STACK_BYTES}",
)
#: How it looks when there is no C library and should be.
_WANTS_LIBC = re.compile(
    r"'(assert|ctype|errno|math|stdio|stdlib|string|strings|time|unistd|wchar)\.h' file not found"
    r"|undefined symbol: (?!pst_)\w+"
)
_WANTS_TOOLS = "undefined symbol: pst_this_plugin"
_TOOLS_ADVICE = "\nNo file in src/ declares tools: one of them must have PST_PLUGIN({...}), see penstock.h"
_LIBC_ADVICE = '\nIs that of the C library? plugin.toml brings it in: [build] libc = "wasi"'
_WITHOUT_LIBC = ("-std=c17", "-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry")
#: With what POSIX and GNU add to the library's headers, and with `assert`, which zig leaves out of fast code.
_WITH_LIBC = ("-std=gnu17", "-target", "wasm32-wasi", "-mexec-model=reactor", "-DPST_LIBC", "-UNDEBUG")


def build_c_plugin(folder: Path, *, packed: bool = False, say: Say = silent) -> Path:
    """Compile the plugin's `src/*.c` and write its artifact.

    Args:
        folder: a plugin folder, with `plugin.toml` and `src/`.
        packed: write the artifact compressed.
        say: is told what takes long.

    Returns:
        The artifact's path: as the manifest names it, or that with `.xz`.

    Raises:
        ManifestError: the manifest is missing or cannot be used.
        BuildError: there is nothing to compile, the compiler cannot be installed or refuses the sources (its
            messages are in the error), or the result is no plugin. Its warnings are logged.
    """
    manifest = component_manifest(folder)
    sources = sorted(str(path.relative_to(folder)) for path in (folder / "src").glob("**/*.c"))
    if not sources:
        raise BuildError(f"There are no C files in {folder / 'src'}.")
    libc = manifest.build.libc == "wasi"
    if libc and has_batch_entry_point(manifest):
        raise BuildError(
            'batch_entry_point = true does not go with [build] libc = "wasi": what malloc keeps cannot be'
            " set back between two calls. Leave out one of them."
        )
    definitions = (
        *(_WITH_LIBC if libc else _WITHOUT_LIBC),
        *(("-DPST_PRINTS_TO_LOG",) if libc and "log" in manifest.wasm.capabilities else ()),
        f'-DPST_PLUGIN_NAME="{manifest.name}"',
        f'-DPST_PLUGIN_VERSION="{manifest.version}"',
        *(("-DPST_BATCH_ENTRY_POINT",) if has_batch_entry_point(manifest) else ()),
    )
    if libc and not _libc_is_built():
        say("Compiling wasi-libc, once: this takes up to a minute")
    with tempfile.TemporaryDirectory(prefix="penstock-build-") as scratch:
        core = Path(scratch) / f"{manifest.name}.wasm"
        _compile(folder, [*definitions, *sources, *_runtime(libc)], core, say)
        wrapped = wrap_core_module(_without_debug_information(core.read_bytes()))
    if libc:
        _libc_is_built(now=True)
    return write_artifact(folder / manifest.wasm.module, wrapped, packed=packed)


def _libc_is_built(*, now: bool = False) -> bool:
    """Whether zig's cache has its wasi-libc, as far as we know."""
    mark = toolchain_cache() / "zig" / f"wasi-libc-{ZIG}"
    if now:
        mark.touch()
    return mark.exists()


def build_core_adapter(say: Say = silent) -> bytes:
    """What stands between the host and a core module with the plain ABI; kept as `core_adapter/adapter.wasm`.

    Raises:
        BuildError: the compiler cannot be installed, or refuses it.
    """
    folder = _RUNTIME.parent / "core_adapter"
    arguments = [*_WITHOUT_LIBC, "-DPST_OWN_ENTRY_POINTS", "adapter.c", *_runtime(libc=False)]
    with tempfile.TemporaryDirectory(prefix="penstock-build-") as scratch:
        core = Path(scratch) / "adapter.wasm"
        _compile(folder, arguments, core, say)
        return _without_debug_information(core.read_bytes())


def _runtime(libc: bool) -> list[str]:
    """Our own C files. With a C library the arena is another one, and what wasi-libc imports is there."""
    files = sorted(_RUNTIME.glob("*.c"))
    if libc:
        files = [
            *(file for file in files if file.name != "memory.c"),
            *sorted((_RUNTIME / "libc").glob("*.c")),
        ]
    return list(map(str, files))


def _compile(folder: Path, arguments: list[str], output: Path, say: Say) -> None:
    cache = str(toolchain_cache() / "zig")
    done = zig(say).run(
        *("cc", *_FLAGS, "-I", str(INCLUDE_FOLDER), *arguments, "-o", str(output)),
        cwd=folder,
        environment={"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
    )
    if done.returncode != 0:
        # The linker says once more what it has said for each place.
        said = "\n".join(dict.fromkeys(done.stderr.strip().splitlines()))
        libc = "-DPST_LIBC" in arguments
        raise BuildError(f"The C sources of {folder} do not compile:\n{said}{_advice(said, libc=libc)}")
    if done.stderr.strip():
        logger.warning(
            "The compiler warns about %s:\n%s", folder, done.stderr.strip(), extra={"action": "build.warned"}
        )


def _advice(said: str, *, libc: bool) -> str:
    """What to do about it, where the compiler leaves one guessing."""
    if _WANTS_TOOLS in said:
        return _TOOLS_ADVICE
    return _LIBC_ADVICE if not libc and _WANTS_LIBC.search(said) else ""


def _without_debug_information(core: bytes) -> bytes:
    """The module with only one custom section, the names of its functions.

    A trap's message shows them, and one of them says that memory has run out. zig keeps them only together
    with debug information, which holds paths of this machine.
    """
    kept = (
        section for section in read_sections(core) if section.kind != CUSTOM or section.custom_name == "name"
    )
    return write_sections(core[:HEADER_BYTES], kept)
