"""The tree of errors: one class a code, and every one of them survives where exceptions travel."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
from celery import Celery

from penstock_plugins import errors
from penstock_plugins.error_codes import RECOVERABLE, ErrorCode
from penstock_plugins.errors import ERROR_CLASSES, ManifestError, ParamsError, PenstockError, ToolError

#: Every class of the module.
CLASSES: list[type[PenstockError]] = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, PenstockError) and cls.__module__ == errors.__name__
]
CODES = [
    "TOOL_NOT_FOUND",
    "VALIDATION_ERROR",
    "TIMEOUT",
    "CANCELLED",
    "OUT_OF_FUEL",
    "OUT_OF_MEMORY",
    "TRAP",
    "INIT_FAILED",
    "INVALID_OUTPUT",
    "OUTPUT_TOO_LARGE",
    "PERMISSION_DENIED",
    "USER_CANCELLED",
    "RATE_LIMIT",
    "DEPENDENCY_ERROR",
    "NOT_FOUND",
    "EXECUTION_ERROR",
    "COMPOSITE_STEP_FAILED",
    "PIPELINE_ERROR",
    "LOOP_LIMIT",
    "OVERLOADED",
    "INTERRUPTED",
    "QUARANTINED",
    "TOOL_NOT_READY",
    "UNTRUSTED_PLUGIN",
    "CONFLICT",
]


def full(cls: type[PenstockError]) -> PenstockError:
    """An error of this class with everything in it that it can carry."""
    if issubclass(cls, ToolError):
        return cls("It did not work", {"errors": [{"path": "$.a", "message": "no"}], "retry_after_s": 1.5})
    if issubclass(cls, ManifestError):
        return cls(["name is required", "version is required"], "somewhere/plugin.toml")
    return cls("It did not work")


def carried(error: PenstockError) -> dict[str, Any]:
    """All that a reader of an error sees."""
    return {
        "class": type(error),
        "text": str(error),
        "message": error.message,
        "details": getattr(error, "details", None),
        "problems": getattr(error, "problems", None),
        "path": getattr(error, "path", None),
        "exit_code": error.exit_code,
    }


def through_celery(error: PenstockError) -> BaseException:
    """The error as a reader of a Celery result gets it: written to JSON, read back, built anew."""
    with Celery(backend="cache+memory://", set_as_current=False) as app:
        app.conf.result_serializer = "json"
        backend = app.backend
        stored = backend.encode({"status": "FAILURE", "result": backend.prepare_exception(error)})
        rebuilt: BaseException = backend.decode_result(stored)["result"]
    return rebuilt


def test_T3_the_set_of_codes_is_closed() -> None:
    """The codes are those of the contract, each its own text."""
    assert [code.value for code in ErrorCode] == CODES
    assert [code.name for code in ErrorCode] == CODES


def test_T3_every_code_has_one_class_and_every_class_one_code() -> None:
    """No code is without a class, and no two share one."""
    assert set(ERROR_CLASSES) == set(ErrorCode)
    assert len(set(ERROR_CLASSES.values())) == len(ErrorCode)
    assert all(cls.code is code for code, cls in ERROR_CLASSES.items())
    assert {cls for cls in CLASSES if issubclass(cls, ToolError)} == {ToolError, *ERROR_CLASSES.values()}


def test_T3_a_failure_is_recoverable_only_where_the_contract_says_so() -> None:
    """Five codes are; the rest are not."""
    recoverable = {"TIMEOUT", "RATE_LIMIT", "DEPENDENCY_ERROR", "VALIDATION_ERROR", "OVERLOADED"}

    assert {code.value for code in RECOVERABLE} == recoverable
    for code, cls in ERROR_CLASSES.items():
        assert cls("x").recoverable is (code.value in recoverable)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_T3_every_error_survives_pickle_and_copy(cls: type[PenstockError]) -> None:
    """Whole: class, text and all that it carries."""
    error = full(cls)

    assert carried(pickle.loads(pickle.dumps(error))) == carried(error)  # noqa: S301  # our own bytes
    assert carried(copy.copy(error)) == carried(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_T3_every_error_survives_its_way_through_celery(cls: type[PenstockError]) -> None:
    """What a task raised is what its reader catches, with nothing lost and nothing said twice."""
    error = full(cls)

    rebuilt = through_celery(error)

    assert isinstance(rebuilt, PenstockError)
    assert carried(rebuilt) == carried(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_without_a_message_says_its_docstring(cls: type[PenstockError]) -> None:
    """The docstring is the default message: one sentence for a person."""
    text = str(cls())

    assert text
    assert "\n" not in text
    assert text == (cls.__doc__ or "").partition("\n")[0]


def test_the_docstring_of_the_module_draws_the_whole_tree() -> None:
    """A class that is not in the drawing is forgotten by its readers; a code's class stands for the rest."""
    drawn = inspect.getdoc(errors) or ""

    missing = [cls.__name__ for cls in CLASSES if cls.__name__ not in drawn]

    assert set(missing) <= {cls.__name__ for cls in ERROR_CLASSES.values()}


def test_P3_a_manifest_error_keeps_every_problem_and_says_where() -> None:
    """Problems are a list for programs, and one line for people."""
    error = ManifestError(["name is required", "version is required"], "x/plugin.toml")

    assert error.problems == ("name is required", "version is required")
    assert str(error) == "x/plugin.toml: name is required; version is required"


def test_I7_wrong_usage_ends_with_2_and_an_unreachable_server_with_3() -> None:
    """What a command ends with is told by its error."""
    codes = {cls.__name__: cls.exit_code for cls in CLASSES}

    assert codes["UnreachableError"] == 3
    assert {codes[name] for name in ("ParamsError", "ToolNotFoundError", "ManifestError", "BundleError")} == {
        2
    }
    assert codes["ToolTimeoutError"] == codes["JobFailedError"] == 1


def test_details_are_a_copy() -> None:
    """Who built an error cannot change it afterwards."""
    details: dict[str, object] = {"errors": []}

    error = ParamsError("no", details)
    details["more"] = []

    assert error.details == {"errors": []}
