"""The pipeline that the README of plugins shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from penstock_plugins.pipelines.check import check
from penstock_plugins.pipelines.files import parse_pipeline
from penstock_plugins.pipelines.json_schema import SCHEMA_FILE
from penstock_plugins.tool import Tool

README = (Path(__file__).parents[4] / "plugins" / "README.md").read_text().partition("\n## Pipelines\n")[2]


def shown(language: str) -> str:
    """What the section shows in a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_python_and_yaml_say_the_same() -> None:
    """And nothing is wrong with it."""
    names: dict[str, Any] = {}
    exec(shown("python"), names)  # noqa: S102  # it is ours

    in_python, in_yaml = names["pages"], parse_pipeline(shown("yaml").encode(), path="pages.yaml")

    assert in_python.to_dict() == in_yaml.to_dict()
    assert check(in_yaml, lambda name: Tool(plugin="any", name="tool")) == []


def test_the_schema_is_where_it_says() -> None:
    """For editors."""
    assert "penstock_plugins/pipelines/pipeline.schema.json" in README
    assert SCHEMA_FILE.is_file()
