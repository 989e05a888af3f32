"""Pipelines in files: YAML, TOML and JSON."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines.files import MAX_FILE_BYTES, parse_pipeline, read_pipeline

YAML = """
# yaml-language-server: $schema=pipeline.schema.json
name: docs
steps:
  - tool: markdown.to_html
    name: html
    params: {text: "{{input.text}}", words: yes, at: 12:30, on: 2026-01-01, none: ~, n: 3, x: 1.5e3}
  - branch: data.size() > 3
    if_true:
      - transform: >
          one
          line
"""
TOML = """
name = "docs"

[[steps]]
tool = "markdown.to_html"
name = "html"
params = {text = "{{input.text}}", words = "yes", at = "12:30", on = "2026-01-01", n = 3, x = 1.5e3}

[[steps]]
branch = "data.size() > 3"

[[steps.if_true]]
transform = "one line\\n"
"""


def test_yaml_toml_and_json_say_the_same(tmp_path: Path) -> None:
    """But for null, which TOML does not have."""
    (tmp_path / "docs.yaml").write_text(YAML)
    (tmp_path / "docs.toml").write_text(TOML)

    from_yaml, from_toml = read_pipeline(tmp_path / "docs.yaml"), read_pipeline(tmp_path / "docs.toml")
    (tmp_path / "docs.json").write_bytes(orjson.dumps({"$schema": "x", **from_yaml.to_dict()}))

    assert read_pipeline(tmp_path / "docs.json").to_dict() == from_yaml.to_dict()
    shape = from_yaml.to_dict()
    assert shape["steps"][0]["params"].pop("none", "") is None
    assert shape == from_toml.to_dict()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.yaml", "name: a\nsteps: &x []\n", "a.yaml: line 2, column 8: anchors and aliases are not read"),
        ("a.yaml", "a: [&x 1, *x]", "anchors and aliases are not read"),
        ("a.yaml", "a: !!python/name:os.system x", "tags are not read"),
        ("a.yaml", "filter: !has(data.x)", "column 9: tags are not read: write a text that begins with ! in"),
        ("a.yaml", "params: {{data}}", "column 10: a table is no key: write a template in quotes"),
        ("a.yaml", "name: a\nname: b", "line 2, column 1: the key name is there twice"),
        ("a.yaml", "1: a", "the key 1 is no text"),
        ("a.yaml", "[a]: b", "the key .* is no text"),
        ("a.yaml", "--- a\n--- b", "more than one document"),
        ("a.yaml", "[" * 200, "nested too deep"),
        ("a.yaml", "a: b: c", "line 1, column 5"),
        ("a.yaml", "a: \x00", "control characters"),
        ("a.yaml", f"a: {'9' * 5000}", "a whole number is too large"),
        ("a.yaml", "", "must be a table"),
        ("a.yml", "- a", "must be a table"),
        ("a.json", '{"name": "a", "name": "b"}', "the key 'name' is there twice"),
        ("a.json", "[" * 100_000, "depth limit"),
        ("a.json", '{"name": NaN}', "a.json: "),
        ("a.toml", "name = ", "a.toml: Invalid value"),
        ("a.toml", "a" + ".a" * 1000 + " = 1", "more than 500 dots"),
        ("a.toml", "name = 'a'\nsteps = [{transform = 2026-01-01}]", "date is no JSON value"),
        ("a.yaml", "name: a\nsteps: [{tol: x}]", r"a.yaml: steps\[0\]: a step has exactly one of the keys"),
        ("a.py", "", "ends with .yaml, .yml, .toml, .json"),
        ("a.yaml", "#" * (MAX_FILE_BYTES + 1), "more than 1048576 bytes"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_what_cannot_be_read_is_refused_with_the_file_and_the_place(name: str, text: str, why: str) -> None:
    """In one line."""
    with pytest.raises(InvalidPipelineError, match=why):
        parse_pipeline(text.encode(), path=name)


@pytest.mark.parametrize("name", ["a.yaml", "a.toml"])
def test_a_file_in_another_encoding_says_so(name: str) -> None:
    """With the byte; JSON's reader has words of its own."""
    with pytest.raises(InvalidPipelineError, match="byte 9 is no UTF-8: save it as UTF-8"):
        parse_pipeline('name = "é"'.encode("latin-1"), path=name)


@given(st.binary(max_size=200), st.sampled_from(["yaml", "toml", "json"]))
def test_no_file_raises_anything_but_our_error(raw: bytes, ending: str) -> None:
    """Whatever its bytes."""
    with pytest.raises(InvalidPipelineError):
        parse_pipeline(raw, path=f"a.{ending}")


@given(st.text("[]{}:,-&*!|>'\"%@`#?~ \n\tab01.name: steps:", max_size=60))
def test_no_yaml_raises_anything_but_our_error(text: str) -> None:
    """Made of what YAML gives a meaning."""
    with pytest.raises(InvalidPipelineError):
        parse_pipeline(text.encode(), path="a.yaml")
