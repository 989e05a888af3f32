"""Plugins of composite tools: their files are pipelines, and their record carries them (L-1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_plugins.bundle import Bundle, bundle_from
from penstock_plugins.composites import composite_tools, composites_in
from penstock_plugins.errors import CatalogError
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.pipelines.builder import Pipeline
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool, Traits

GOOD = """
name: summary
description: Sums it up.
parameters: {type: object, required: [text], properties: {text: {type: string}}}
steps:
  - tool: text.stats
"""


def bundle(**files: str) -> Bundle:
    """A plugin `docs` of these YAML files."""
    names = [f"{name}.yaml" for name in files]
    manifest = f'name = "docs"\nversion = "1.2.0"\n[composite]\nfiles = {names}\n'
    return bundle_from(
        {
            "plugin.toml": manifest.encode(),
            **{f"{name}.yaml": text.encode() for name, text in files.items()},
        }
    )


def tools_of(plugin: Bundle) -> list[Tool]:
    """Its tools, which may do nothing."""
    pipelines, problems = composites_in(plugin)
    assert problems == []
    return composite_tools(plugin, pipelines, lambda _: Traits(idempotent=True))


def test_L1_a_composite_is_a_tool() -> None:
    """With its file's name, description and parameters, and the plugin's version."""
    (tool,) = tools_of(bundle(summary=GOOD))

    assert (tool.full_name, tool.version, tool.description) == ("docs.summary", "1.2.0", "Sums it up.")
    assert tool.parameters["required"] == ["text"]
    assert tool.traits == Traits(idempotent=True)


def test_a_published_composite_comes_back_with_its_pipeline(tmp_path: Path) -> None:
    """Through the JSON of its record."""
    plugin = bundle(summary=GOOD)
    catalog = FolderCatalog(tmp_path)

    catalog.publish(plugin, tools_of(plugin))
    record = catalog.record(plugin.digest)

    assert [tool.full_name for tool in record.tools] == ["docs.summary"]
    assert Pipeline.from_dict(record.pipelines["summary"]).steps == composites_in(plugin)[0]["summary"].steps
    assert catalog.fetch(plugin.digest).files == plugin.files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: summary\nsteps: [{tool: text.stats}]", "a composite tool has parameters"),
        (GOOD.replace("tool: text.stats", "toll: text.stats"), r"steps\[0\]"),
        (GOOD.partition("steps:")[0] + "steps: []", "there must be one step at least"),
        ("{", "summary.yaml: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(text: str, said: str, tmp_path: Path) -> None:
    """And it is not published, whoever tries."""
    plugin = bundle(summary=text)

    _, problems = composites_in(plugin)

    assert [problem for problem in problems if problem.startswith("summary.yaml: ")] == problems
    with pytest.raises(CatalogError, match=said):
        FolderCatalog(tmp_path).publish(plugin, [])


def test_two_files_cannot_be_one_tool() -> None:
    """All problems are said, of all files."""
    _, problems = composites_in(bundle(one=GOOD, two=GOOD, three="{"))

    assert problems[0] == "two.yaml: another file has a tool summary"
    assert problems[1].startswith("three.yaml: ")


def test_a_record_whose_tools_are_not_its_pipelines_is_none() -> None:
    """Whoever wrote it."""
    plugin = bundle(summary=GOOD)
    record = PluginRecord(
        digest=plugin.digest, manifest=plugin.manifest, tools=tuple(tools_of(plugin)), files=plugin.entries
    )

    with pytest.raises(CatalogError, match="its tools are not its pipelines"):
        PluginRecord.from_json(record.to_json())
