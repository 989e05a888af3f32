"""Log lines of our own processes."""

from __future__ import annotations

from penstock.loglines import LogLine


def test_an_event_is_read_back() -> None:
    """With its action, its level and its fields."""
    line = LogLine.read(
        '{"event": "Ready", "level": "warning", "action": "ready", "timestamp": "x", "worker": "w"}'
    )

    assert line == LogLine(text="Ready", level="warning", action="ready", fields={"worker": "w"})


def test_any_other_line_is_its_own_text() -> None:
    """Python's and C's complaints come as they are."""
    for raw in ("Traceback (most recent call last):", "{half", '{"no": "event"}', ""):
        assert LogLine.read(raw) == LogLine(text=raw)
