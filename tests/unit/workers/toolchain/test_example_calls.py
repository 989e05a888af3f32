"""examples.toml: read strictly, and compared as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BuildError, ManifestError, ToolNotFoundError
from penstock_plugins.manifest import dump, read_manifest
from penstock_plugins.result import ToolFailure, ToolResult
from penstock_workers.toolchain.example_calls import Example, read_examples, run_examples


class Answers:
    """Calls that end as they are told to."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def run(self, tool: str, params: dict[str, Any]) -> ToolResult:
        if isinstance(self._answer, Exception):
            raise self._answer
        failure = self._answer if isinstance(self._answer, ToolFailure) else None
        data = None if failure else self._answer
        return ToolResult(call_id="1", tool=tool, success=failure is None, data=data, error=failure)


def difference(answer: Any, **example: Any) -> str:
    """What one example says about an answer."""
    [comparison] = run_examples([Example(tool="t", **example)], Answers(answer))
    return comparison.difference


def write(folder: Path, text: str) -> Path:
    """A folder with these examples."""
    (folder / "examples.toml").write_text(text)
    return folder


def test_examples_are_read_in_order(tmp_path: Path) -> None:
    """With data as TOML or as JSON, or with an error."""
    examples = read_examples(
        write(
            tmp_path,
            """
            [[example]]
            tool = "a"
            params = { x = 1 }
            expected = { y = [1, 2.5, "z"] }
            [[example]]
            tool = "b"
            expected_json = 'null'
            [[example]]
            tool = "c"
            error = "NOT_FOUND"
            message = "gone"
            """,
        )
    )

    assert [(example.tool, example.params) for example in examples] == [("a", {"x": 1}), ("b", {}), ("c", {})]
    assert [example.data() for example in examples] == [{"y": [1, 2.5, "z"]}, None, None]
    assert examples[2].error is ErrorCode.NOT_FOUND


def test_a_folder_without_examples_has_none(tmp_path: Path) -> None:
    """It is no error."""
    assert read_examples(tmp_path) == []


MANIFEST = """
name = "p"
version = "1.0.0"
[[example]]
tool = "a"
params = { x = 1, y = 2 }
expected = 3
"""


def test_the_manifest_may_have_examples_as_well(tmp_path: Path) -> None:
    """Its own come first; nothing of them gets into the plugin's record."""
    folder = write(tmp_path, "[[example]]\ntool = 'a'\nexpected = 0")
    (folder / "plugin.toml").write_text(MANIFEST)

    examples = read_examples(folder)

    assert [(example.params, example.data()) for example in examples] == [({"x": 1, "y": 2}, 3), ({}, 0)]
    assert "example" not in str(dump(read_manifest(MANIFEST.encode())))


@pytest.mark.parametrize("tool", ["a", "p.a"])
def test_the_same_call_in_both_places_is_refused(tmp_path: Path, tool: str) -> None:
    """Whatever each expects, and in whichever order the params are: one of them would be forgotten."""
    folder = write(
        tmp_path,
        f"[[example]]\ntool = 'b'\nexpected = 0\n"
        f"[[example]]\ntool = '{tool}'\nparams = {{ y = 2, x = 1 }}\nexpected = 4",
    )
    (folder / "plugin.toml").write_text(MANIFEST)

    with pytest.raises(
        BuildError, match=r"example 2 is the same call of .*a as \[\[example\]\] 1 of plugin.toml"
    ):
        read_examples(folder)


def test_examples_of_the_manifest_are_read_as_strictly(tmp_path: Path) -> None:
    """With its path and their number; what is no table is a problem of the manifest."""
    manifest = tmp_path / "plugin.toml"
    manifest.write_text(MANIFEST + "error = 'TRAP'\n")

    with pytest.raises(BuildError, match=r"plugin.toml cannot be used:\nexample 1: give one of"):
        read_examples(tmp_path)

    manifest.write_text(MANIFEST.replace("[[example]]", "[example]"))
    with pytest.raises(ManifestError, match=r"write each example as a table of its own: \[\[example\]\]"):
        read_examples(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[example]", "is no TOML"),
        ("[example]\ntool = 'a'", r"only tables \[\[example\]\]"),
        ("name = 1", "it also has name"),
        ("[[example]]\nexpected = 1", "example 1: tool is required"),
        ("[[example]]\ntool = 'a'\nexpected = 2026-11-21", "example 1: a date or time is no JSON"),
        ("[[example]]\ntool = 'a'\nexpected = 1\nparams = {at = 12:30:00}", "example 1: a date or time"),
        ("[[example]]\ntool = 'a'", "give one of expected, expected_json and error"),
        ("[[example]]\ntool = 'a'\nexpected = 1\nerror = 'TRAP'", "give one of"),
        ("[[example]]\ntool = 'a'\nerror = 'ODD'", "example 1: error"),
        ("[[example]]\ntool = 'a'\nexpected = 1\nmessage = 'x'", "message goes with error"),
        ("[[example]]\ntool = 'a'\nexpected_json = '{'", "example 1: expected_json is no JSON: "),
        ("[[example]]\ntool = 'a'\nexpected = nan", "example 1: nan and inf are no JSON"),
        ("[[example]]\ntool = 'a'\nexpected = 1\nparams = {x = [-inf]}", "example 1: nan and inf"),
        (
            "[[example]]\ntool = 'a'\nexpected = 99999999999999999999",
            "example 1: it is no JSON: Integer exceeds",
        ),
        (f"x = {'[' * 5000}", "is no TOML: "),
        ("[[example]]\ntool = 'a'\nexpected = 1\nparms = {}", "parms: no such key; there are tool, params, "),
    ],
)
def test_what_cannot_be_an_example_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """With its number."""
    with pytest.raises(BuildError, match=problem):
        read_examples(write(tmp_path, text))


@pytest.mark.parametrize(
    ("expected", "found", "words"),
    [
        ({"a": 1}, {"a": 1.0}, ""),
        (1, True, "data is true; expected 1"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "data.a[1] is 3; expected 2"),
        ({"a": [1]}, {"a": [1, 2]}, "data.a has 2 items; expected 1"),
        ({"a": 1}, {}, "data has no 'a'"),
        ({}, {"b": 1}, "data has 'b', which is not expected"),
        ("x", {"y": 1}, 'data is {"y":1}; expected "x"'),
    ],
)
def test_the_first_difference_is_told_with_its_path(expected: Any, found: Any, words: str) -> None:
    """Numbers are JSON's."""
    assert difference(found, expected=expected) == words


def test_errors_are_compared_by_code_and_by_a_part_of_their_message() -> None:
    """And success is no error."""
    gone = ToolFailure(code=ErrorCode.NOT_FOUND, message="it is gone")

    assert difference(gone, error="NOT_FOUND", message="gone") == ""
    assert "its message is" in difference(gone, error="NOT_FOUND", message="here")
    assert "its error is NOT_FOUND" in difference(gone, error="TRAP")
    assert difference(1, error="TRAP") == "it succeeded; expected TRAP"
    assert difference(gone, expected=1) == "it failed with NOT_FOUND: it is gone"


def test_a_tool_that_is_not_there_is_a_failed_call() -> None:
    """Others are run all the same."""
    assert difference(ToolNotFoundError("Unknown tool: t"), expected=1).startswith("it failed with TOOL_NOT_")
