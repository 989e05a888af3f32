"""What the folder's README shows."""

from __future__ import annotations

import re
from pathlib import Path

from penstock_plugins.manifest import read_manifest

README = Path(__file__).parents[3] / "plugins" / "README.md"
PACKAGE = README.parent / "penstock_plugins"


def test_the_manifests_in_the_readme_can_be_read() -> None:
    """As an author would copy them."""
    whole, tool = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)

    manifest = read_manifest(whole.encode())
    limited = read_manifest(b'name = "web"\nversion = "1.0.0"\n' + tool.encode()).tool_table("fetch")

    assert manifest.name == "weather"
    assert manifest.tool_table("now") is not None
    assert limited is not None
    assert [limit.key for limit in limited.limits] == ["host/{{input.host}}", "search-api"]


def test_the_readme_names_every_module() -> None:
    """In its table, once."""
    named = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", README.read_text(), re.MULTILINE)))

    assert sorted(named) == sorted(file.stem for file in PACKAGE.glob("[!_]*.py"))
