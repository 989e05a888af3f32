"""Components that our builders never saw: made of the WIT that we publish, by other tools alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from penstock_plugins.shipped import wit_folder
from penstock_workers.toolchain.nodejs import find_node, node_modules
from tests.conformance.guests import GOOD

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
