"""Logs: what is written for people and as JSON, and what is never written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from penstock_broker_config.logs import configure_logging

logger = logging.getLogger("penstock_workers.test")


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Gives pytest its handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def fail_with(params: str) -> None:
    """Log an error where a local variable holds what nobody may read."""
    try:
        len(params) / 0  # for its error
    except ZeroDivisionError:
        logger.exception("A call failed", extra={"action": "call"})


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """They may be params, results or the signing key."""
    configure_logging(as_json=as_json)

    fail_with("geheim" * 3)

    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "geheim" not in said


def test_json_is_one_object_a_line_with_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence, the level, the time and what `extra` has."""
    configure_logging(as_json=True)

    logger.warning("Stopped %s", "early", extra={"action": "stop", "worker": "w1"})

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("Stopped early", "warning")
    assert (line["action"], line["worker"]) == ("stop", "w1")


def test_others_are_heard_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own lines have the level that was asked for."""
    configure_logging(level="info")

    logging.getLogger("celery").info("Connected")
    logger.info("Ready")

    said = capsys.readouterr().err
    assert "Ready" in said
    assert "Connected" not in said
