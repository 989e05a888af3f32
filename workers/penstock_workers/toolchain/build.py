"""Builds a plugin's folder, whatever it is written in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain.built_from import digest_of_sources, remember
from penstock_workers.toolchain.c import build_c_plugin
from penstock_workers.toolchain.javascript import build_js_plugin
from penstock_workers.toolchain.python import build_python_plugin
from penstock_workers.toolchain.sources import Language, language_of
from penstock_workers.toolchain.toolchains import Say, silent
from penstock_workers.toolchain.watching import no_files

_BUILDERS: dict[Language, Callable[..., Path]] = {
    "c": build_c_plugin,
    "js": build_js_plugin,
    "python": build_python_plugin,
}


def build_plugin(folder: Path, *, packed: bool = False, say: Say = silent) -> Path:
    """Build a plugin.

    Args:
        folder: a plugin folder, with `plugin.toml` and `src/`.
        packed: write the artifact compressed.
        say: is told what takes long.

    Returns:
        The artifact's path.

    Raises:
        ManifestError: the manifest is missing or cannot be used.
        BuildError: there is nothing to build, a source is no regular file, or the toolchain refuses it; its
            messages are in the error.
    """
    if refused := no_files(folder):
        raise BuildError(
            "\n".join(f"{path} is no regular file: put the file itself there." for path in refused)
        )
    build = _BUILDERS[language_of(folder)]
    sources = digest_of_sources(folder)  # before: what changes during the build is not in its artifact
    artifact = build(folder, packed=packed, say=say)
    remember(folder, artifact, sources)
    return artifact
