"""Builds a plugin from JavaScript: bundled by esbuild, made a component by componentize-qjs (both on npm).

npm packages that `package.json` names are bundled into the artifact. The engine inside is QuickJS, without
WASI, without Node's modules and without the browser's.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from penstock_plugins.errors import BuildError
from penstock_plugins.manifest import Manifest
from penstock_workers.toolchain.nodejs import Node, find_node, node_modules, npm
from penstock_workers.toolchain.sources import (
    ENTRIES,
    component_manifest,
    has_batch_entry_point,
    write_artifact,
)
from penstock_workers.toolchain.toolchains import Say, installed, silent
from penstock_workers.toolchain.wit import WORLD, host_functions, narrowed_wit
from penstock_workers.toolchain.world import HOST_FUNCTIONS, HOST_INTERFACE

_RUNTIME = Path(__file__).parent / "javascript_runtime" / "penstock.js"
_LOCK = "package-lock.json"

#: Where the bundler's own words end, and those of the program that started it begin.
_STARTER = re.compile(r"^node:\w+:\d+$", re.MULTILINE)
#: Its advice about Node's modules and about packages that it does not find, which is for other surroundings.
_FOR_NODE = re.compile(r" Are you trying to bundle for node\?.*$", re.MULTILINE)
_FOR_PAGES = re.compile(r"You can mark the path .*$", re.MULTILINE)
_NAME_IT = "Name the package in the dependencies of package.json, and build again."
_INSTALL_IT = "Install it into node_modules, or remove that: the build then installs what package.json names."

_BUNDLE = (
    "--bundle",
    "--format=esm",
    "--target=es2022",
    "--platform=neutral",
    "--main-fields=module,main",
    "--charset=utf8",
    "--log-level=warning",
    "--color=false",
    f"--external:{HOST_INTERFACE}",
    f"--alias:penstock={_RUNTIME}",
)


def build_js_plugin(folder: Path, *, packed: bool = False, say: Say = silent) -> Path:
    """Bundle the plugin's `src/plugin.js` with what it imports, and write its artifact.

    Args:
        folder: has `plugin.toml`, `src/plugin.js`, and `package.json` when the plugin uses packages.
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
    entry = folder / ENTRIES["js"]
    if not entry.is_file():
        raise BuildError(f"There is no {entry}.")
    node = find_node(say)
    tools = node_modules(node, say)
    packages = _packages(folder, node, say)
    with tempfile.TemporaryDirectory(prefix="penstock-build-") as name:
        scratch = Path(name)
        _write_glue(scratch, manifest, entry)
        _bundle(scratch, node, tools, packages, folder)
        component = _componentize(scratch, node, tools, folder)
    return write_artifact(folder / manifest.wasm.module, component, packed=packed)


def _packages(folder: Path, node: Node, say: Say) -> Path | None:
    """Where the packages are that the plugin names: its own `node_modules`, or a folder of the cache."""
    try:
        wanted = json.loads((folder / "package.json").read_bytes())
        if not wanted.get("dependencies"):
            return None
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:
        raise BuildError(f"{folder / 'package.json'} is no JSON object: {error}") from error
    if (own := folder / "node_modules").is_dir():
        return own
    files = [file for file in (folder / "package.json", folder / _LOCK) if file.is_file()]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()

    def install(target: Path) -> None:
        for file in files:
            shutil.copy(file, target)
        npm(node, ["ci" if len(files) == 2 else "install", "--omit=dev"], target)

    message = f"Installing the packages of {folder.name} from npm"
    return installed(f"npm-{digest[:24]}", install, message, say) / "node_modules"


def _write_glue(scratch: Path, manifest: Manifest, entry: Path) -> None:
    """The entry point, the world, and the functions of the host that this plugin may call."""
    batch = has_batch_entry_point(manifest)
    (scratch / "world.wit").write_text(narrowed_wit(manifest.wasm.capabilities, batch=batch))
    (scratch / "entry.js").write_text(
        f'import {{ batchOf, pluginOf }} from "penstock";\nimport {json.dumps(str(entry))};\n'
        f"export const plugin = pluginOf({json.dumps(manifest.name)}, {json.dumps(manifest.version)});\n"
        + ("export const batch = batchOf(plugin);\n" if batch else "")
    )
    allowed = host_functions(manifest.wasm.capabilities)
    lines = [f'import * as host from "{HOST_INTERFACE}";'] if allowed else []
    for function in HOST_FUNCTIONS:
        camel = _camel(function)
        lines.append(f"export const {camel} = {f'host.{camel}' if function in allowed else 'null'};")
    (scratch / "host.js").write_text("\n".join(lines))


def _bundle(scratch: Path, node: Node, tools: Path, packages: Path | None, folder: Path) -> None:
    done = node.program(tools / ".bin" / "esbuild").run(
        str(scratch / "entry.js"),
        *_BUNDLE,
        f"--alias:penstock:host={scratch / 'host.js'}",
        f"--outfile={scratch / 'bundle.js'}",
        cwd=folder,
        environment={"NODE_PATH": str(packages)} if packages else {},
    )
    if done.returncode != 0:
        said = _FOR_NODE.sub(" Node's modules are not there inside of a plugin.", done.stderr)
        said = _FOR_PAGES.sub(_NAME_IT if packages != folder / "node_modules" else _INSTALL_IT, said)
        said = _STARTER.split(said)[0].strip()
        raise BuildError(f"The JavaScript sources of {folder} cannot be bundled:\n{said}")


def _componentize(scratch: Path, node: Node, tools: Path, folder: Path) -> bytes:
    done = node.program(tools / ".bin" / "componentize-qjs").run(
        *("--wit", "world.wit", "--world", WORLD, "--js", "bundle.js", "--output", "plugin.wasm"),
        *("--sync", "--stub-wasi", "--opt-size", "--minify"),
        cwd=scratch,
        starts_plugin=True,
    )
    output = scratch / "plugin.wasm"
    if done.returncode != 0 or not output.is_file():
        said = done.stderr.strip() or done.stdout.strip()
        raise BuildError(f"The JavaScript of {folder} does not start:\n{said}")
    return output.read_bytes()


def _camel(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(map(str.capitalize, others))
