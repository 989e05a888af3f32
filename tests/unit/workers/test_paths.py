"""Which way a process takes, and what makes it take the other one."""

from __future__ import annotations

import logging

import pytest

from penstock_plugins.errors import ConfigurationError
from penstock_workers import paths
from penstock_workers.engine import engines_made
from penstock_workers.lean import library, self_test
from penstock_workers.lean.guest import LeanGuest
from penstock_workers.paths import takes_lean_path


@pytest.fixture(autouse=True)
def asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is kept for the life of a process; here it is asked for in each test."""
    monkeypatch.setattr(paths, "_verdict", None)


def test_lean_path_fits_this_wasmtime() -> None:
    """Versions, layouts and answers agree."""
    assert library.problem() is None
    assert self_test.differences() == []
    assert takes_lean_path("auto")
    assert takes_lean_path("lean")
    assert not takes_lean_path("public")


@pytest.mark.parametrize("reason", ["version", "layout", "answer", "crash"])
def test_mismatch_takes_the_other_path_and_says_so_once(
    reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another version, another layout, another answer or an exception: one warning, and it works."""
    if reason == "version":
        monkeypatch.setattr(library, "WASMTIME_VERSION", "49.0.0")
    elif reason == "layout":
        monkeypatch.setattr(library, "BOOL", 7)
    elif reason == "answer":
        monkeypatch.setattr(LeanGuest, "init", lambda _: "no")
    else:
        monkeypatch.setattr(LeanGuest, "start", lambda _: 1 / 0)

    with caplog.at_level(logging.WARNING):
        assert not takes_lean_path("auto")
        assert not takes_lean_path("auto")

    assert len(caplog.records) == 1
    said = {"version": "not 49.0.0", "layout": "owns nothing", "answer": "'no'", "crash": "ZeroDivision"}
    assert said[reason] in caplog.text
    with pytest.raises(ConfigurationError, match="sandbox_path"):
        takes_lean_path("lean")


def test_what_was_found_out_before_the_fork_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was found out in another process: this one makes no engine for it, and says it once."""
    monkeypatch.setattr(LeanGuest, "init", lambda _: "no")
    made = engines_made()

    with caplog.at_level(logging.WARNING):
        paths.settle_before_fork()
        paths.settle_before_fork()

        assert not takes_lean_path("auto")
    assert engines_made() == made
    assert len(caplog.records) == 1
    assert "'no'" in caplog.text


def test_self_test_sees_answers_errors_and_traps() -> None:
    """What is compared is not the same failure on both sides."""
    told: set[str] = set()
    monitored = self_test._told

    def listen(*args: object) -> tuple[object, int]:
        answer, left = monitored(*args)  # type: ignore[arg-type]
        told.add(str(answer))
        return answer, left

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(self_test, "_told", listen)
        self_test.differences()

    everything = "\n".join(told)
    for text in ("unreachable", "all fuel consumed", "nö", "is_error=True", "xe6", "self-test", "1.2.3"):
        assert text in everything
    assert paths.lean_problem() is None
