"""Plugins made of a few bytes: for tests of what keeps, names and reads plugins, and never runs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from penstock_plugins.bundle import Bundle, bundle_from
from penstock_plugins.catalog import Catalog
from penstock_plugins.composites import composite_tools, composites_in
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool, Traits

#: No artifact that would load. Nothing here tries.
MODULE = b"\0asm\x0d\0\x01\0"


def manifest_text(name: str = "text", version: str = "1.0.0", *, more: str = "") -> str:
    """A `plugin.toml`; `more` is what stands below its first lines."""
    return f'name = "{name}"\nversion = "{version}"\n{more}\n'


def make_bundle(
    name: str = "text", version: str = "1.0.0", *, module: bytes = MODULE, more: str = ""
) -> Bundle:
    """A bundle of a manifest and an artifact."""
    return bundle_from(
        {"plugin.toml": manifest_text(name, version, more=more).encode(), "plugin.wasm": module}
    )


def make_tool(name: str = "stats", *, plugin: str = "text", version: str = "1.0.0") -> Tool:
    """A tool with something in every field."""
    return Tool(
        name=name,
        plugin=plugin,
        version=version,
        label=name.title(),
        description=f"What {name} does.",
        parameters={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        traits=Traits(idempotent=True),
    )


def make_record(
    name: str = "text", version: str = "1.0.0", *, tools: Sequence[str] = ("stats",)
) -> PluginRecord:
    """The record of such a bundle."""
    bundle = make_bundle(name, version)
    return PluginRecord(
        digest=bundle.digest,
        manifest=bundle.manifest,
        tools=tuple(make_tool(tool, plugin=name, version=version) for tool in tools),
        files=bundle.entries,
        imports=("grain:plugin/host",),
    )


def write_plugin(folder: Path, manifest: str | None = None, *, module: bytes | None = MODULE) -> Path:
    """A plugin's folder; None leaves the file out."""
    folder.mkdir(parents=True)
    if manifest is not None:
        (folder / "plugin.toml").write_text(manifest)
    if module is not None:
        (folder / "plugin.wasm").write_bytes(module)
    return folder


def publish_composite(
    catalog: Catalog, name: str = "docs", version: str = "1.0.0", *, tools: Sequence[str] = ("text.stats",)
) -> PluginRecord:
    """Publish a plugin of one composite tool, `both`, whose tools need not be there."""
    manifest = manifest_text(name, version, more='[composite]\nfiles = ["both.json"]')
    steps = [{"tool": tool} for tool in tools]
    both = {"name": "both", "parameters": {"type": "object"}, "steps": steps}
    bundle = bundle_from({"plugin.toml": manifest.encode(), "both.json": json.dumps(both).encode()})
    pipelines, problems = composites_in(bundle)
    assert problems == []
    return catalog.publish(bundle, composite_tools(bundle, pipelines, lambda _: Traits()))
