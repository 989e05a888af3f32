"""The schema of a pipeline's file that editors use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines.files import read_pipeline
from penstock_plugins.pipelines.json_schema import SCHEMA_FILE, pipeline_schema, schema_text
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.shipped import shipped_plugins

SCHEMA = pipeline_schema()


def fits(shape: Any) -> bool:
    """Whether an editor would find nothing wrong."""
    return bool(jsonschema_rs.Draft202012Validator(SCHEMA).is_valid(shape))


def test_the_kept_schema_is_that_of_the_model() -> None:
    """Write it anew with `python -m penstock_plugins.pipelines.json_schema`."""
    assert SCHEMA_FILE.read_text() == schema_text()


def test_the_shipped_pipeline_names_the_schema_for_editors() -> None:
    """In its first line, by a path that leads there from the source tree."""
    file = SCHEMA_FILE.parents[2] / "examples" / "repository" / "summary.yaml"

    said, _, where = file.read_text().splitlines()[0].partition("$schema=")

    assert said == "# yaml-language-server: "
    assert (file.parent / where).resolve() == SCHEMA_FILE


@pytest.mark.parametrize(
    "step",
    [
        {"tool": "a.b"},
        {"tool": "a.b", "params": {"x": "{{data}}"}, "default": None, "retry": {"max_attempts": 2}},
        {"tool": "a.b", "params": "{{data}}", "compensate": {"tool": "c.d", "params": {}}},
        {"tool": "a.b", "output": 5},
        {"tool": "a.b", "output": "{{result.data.n}}", "continue_on_error": True, "default": False},
        {"transform": None},
        {"filter": "true", "name": "x", "when": "true", "stop_when": "false"},
        {"branch": "true", "if_true": [{"transform": 1}]},
        {"map": "data", "steps": [{"parallel": {"a": [{"tool": "a.b"}]}}]},
        {"catch": []},
    ],
)
def test_every_kind_of_step_fits(step: dict[str, Any]) -> None:
    """As a file has it."""
    assert fits({"$schema": "pipeline.schema.json", "name": "p", "steps": [step]})


@pytest.mark.parametrize(
    "step",
    [
        {"tol": "a.b"},
        {"tool": "a.b", "parms": {}},
        {"tool": "a.b", "filter": "true"},
        {"filter": 1},
        {"filter": "true", "name": "no-name"},
        {"parallel": {}},
        {"parallel": {"no-name": []}},
        {"map": "data"},
        {"filter": "true", "name": "for"},
        {"parallel": {"true": []}},
        {"tool": "a.b", "params": "inherited"},
        {"tool": "a.b", "params": "x{{data}}"},
    ],
)
def test_what_the_reader_refuses_an_editor_underlines(step: dict[str, Any]) -> None:
    """Of what a schema can say."""
    assert not fits({"name": "p", "steps": [step]})


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "1p"},
        {"name": "p" * 65},
        {"name": "p q"},
        {"version": "1.2"},
        {"version": "01.2.3"},
        {"version": "1.2.3-"},
        {"version": "1.2.3+" + "b" * 128},
        {"parameters": {}},
        {"parameters": {"type": "string"}},
    ],
)
def test_L2_an_editor_underlines_what_the_reader_refuses_of_the_whole(keys: dict[str, Any]) -> None:
    """The reader refuses each."""
    shape = {"name": "p", "steps": [], **keys}

    with pytest.raises(InvalidPipelineError):
        Pipeline.from_dict(shape)
    assert not fits(shape)


@pytest.mark.parametrize("version", ["1.2.3", "0.0.0-alpha-1.0x.10+build.01", "1.0.0-0", "10.20.30+007"])
def test_L2_an_editor_takes_the_versions_that_the_reader_takes(version: str) -> None:
    """Prereleases and build metadata as well."""
    shape = Pipeline.from_dict({"name": "p", "version": version, "steps": []}).to_dict()

    assert fits(shape)


def test_every_key_has_a_description() -> None:
    """Editors show it."""
    tables = {name: table for name, table in SCHEMA["$defs"].items() if name not in {"RetryTable", "Step"}}
    bare = [
        f"{name}.{key}"
        for name, table in {"Pipeline": SCHEMA, **tables}.items()
        for key, value in table["properties"].items()
        if not value.get("description")
    ]

    assert bare == []


def shipped_pipelines() -> list[Path]:
    """The files with pipelines among the examples."""
    files = shipped_plugins().rglob("*.y*ml")
    return sorted(file for file in files if "\nsteps:" in file.read_text())


def test_the_shipped_examples_fit() -> None:
    """What the reader reads, an editor does not underline."""
    found = shipped_pipelines()

    assert found
    for file in found:
        assert fits(read_pipeline(file).to_dict()), file
