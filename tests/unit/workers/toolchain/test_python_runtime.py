"""What a plugin in Python imports, on this Python: schemas from signatures, results, failures."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import penstock_workers.toolchain.python as builder

RUNTIME = Path(builder.__file__).parent / "python_runtime" / "penstock_plugin.py"


@pytest.fixture
def runtime() -> dict[str, Any]:
    """The module's names, fresh: it keeps the declared tools."""
    return runpy.run_path(str(RUNTIME))


def test_the_schema_comes_from_the_signature(runtime: dict[str, Any]) -> None:
    """Types, defaults and descriptions; what has no default is required."""

    def search(
        text: Annotated[str, "Where to look"],
        words: list[str],
        *,
        mode: Literal["all", "any"] = "all",
        limit: int | None = None,
        weights: dict[str, float] = {},  # noqa: B006 -- a default as authors write it
        anything: Any = True,
    ) -> None: ...

    assert runtime["schema_of"](search) == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "Where to look"},
            "words": {"type": "array", "items": {"type": "string"}},
            "mode": {"enum": ["all", "any"], "default": "all"},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "weights": {"type": "object", "additionalProperties": {"type": "number"}, "default": {}},
            "anything": {"default": True},
        },
        "additionalProperties": False,
        "required": ["text", "words"],
    }


def test_what_has_no_schema_is_refused_when_the_plugin_is_built(runtime: dict[str, Any]) -> None:
    """With a word about what to do."""

    def sets(values: set[int]) -> None: ...
    def stars(*values: int) -> None: ...

    for function in (sets, stars):
        with pytest.raises(TypeError, match="give `parameters`"):
            runtime["tool"](function)
    assert runtime["tools"] == {}


def test_a_default_that_json_cannot_say_is_refused_when_the_plugin_is_built(runtime: dict[str, Any]) -> None:
    """Listing the tools would trap otherwise."""

    def picks(seen: Any = object(), share: float = 0.5) -> None: ...  # noqa: B008 -- as authors write it
    def shares(share: float = float("inf")) -> None: ...

    for function in (picks, shares):
        with pytest.raises(TypeError, match=f"parameters of '{function.__name__}', defaults among them"):
            runtime["tool"](function)
    with pytest.raises(TypeError, match="are no JSON"):
        runtime["tool"](name="given", parameters={"type": "object", "required": {1}})(lambda: None)


def test_two_tools_of_one_name_are_refused(runtime: dict[str, Any]) -> None:
    """The second would never be called."""
    runtime["tool"](name="same")(lambda: 1)

    with pytest.raises(TypeError, match="'same' is declared twice"):
        runtime["tool"](name="same")(lambda: 2)


def _raise(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_failure_says_what_its_tool_says(runtime: dict[str, Any]) -> None:
    """Code, message, details and the wait, as callers get them."""
    failure = runtime["Failure"]("not now", code="RATE_LIMIT", retry_after_s=1.5, details={"left": 0})
    runtime["tool"](name="fail")(_raise(failure))

    content, is_error = runtime["call"]("fail", "{}")

    assert is_error
    assert json.loads(content) == {
        "code": "RATE_LIMIT",
        "message": "not now",
        "details": {"left": 0},
        "retry_after_s": 1.5,
    }


@pytest.mark.parametrize("details", [{"seen": {1}}, {"share": float("nan")}, {(1, 2): 3}])
def test_a_failure_arrives_whatever_its_details_are(runtime: dict[str, Any], details: Any) -> None:
    """It would trap otherwise, and nobody would know why."""
    failure = runtime["Failure"]("not here", code="NOT_FOUND", details=details)
    runtime["tool"](name="fails", parameters={})(_raise(failure))

    content, is_error = runtime["call"]("fails", "{}")

    assert is_error
    found = json.loads(content)
    assert (found["code"], found["message"]) == ("NOT_FOUND", "not here")
    assert repr(details) in found["details"]


def test_any_other_exception_is_told_with_its_place(runtime: dict[str, Any]) -> None:
    """Without reading sources: there are none inside of a component."""
    runtime["tool"](name="fail")(_raise(ValueError("no")))

    content, is_error = runtime["call"]("fail", "{}")

    told = json.loads(content)
    assert is_error
    assert told["message"] == "ValueError: no"
    [place] = told["details"]["traceback"]
    assert place.startswith("test_python_runtime.py:")
    assert place.endswith(" in fail")


def test_a_tool_that_exits_has_failed(runtime: dict[str, Any]) -> None:
    """As parsers of command lines do; it would be a trap that says nothing."""
    runtime["tool"](name="leave")(_raise(SystemExit(3)))

    content, is_error = runtime["call"]("leave", "{}")

    assert is_error
    assert json.loads(content)["message"] == "SystemExit: 3"


def test_what_json_cannot_say_is_a_failure_and_half_characters_are_replaced(runtime: dict[str, Any]) -> None:
    """Neither ends in a trap."""
    runtime["tool"](name="set")(lambda: {1})
    runtime["tool"](name="nan")(lambda: float("nan"))
    runtime["tool"](name="half")(lambda: "ż\ud800")

    answers = [runtime["call"](name, "{}") for name in ("set", "nan", "half")]

    assert [is_error for _, is_error in answers] == [True, True, False]
    assert answers[2][0] == '"ż?"'


def test_a_host_function_that_was_not_asked_for_is_refused_in_words(runtime: dict[str, Any]) -> None:
    """It names the capability."""
    with pytest.raises(runtime["Failure"], match=r"Ask for the capability 'env' in plugin\.toml"):
        runtime["env"]("NAME")
