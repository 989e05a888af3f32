"""What is written down while a call runs: its log within caps, its refusals, and what it may see."""

from __future__ import annotations

import pytest

from penstock_plugins.limits import Limits
from penstock_plugins.policy import Grants
from penstock_workers.host import MAX_DENIED, CallNotes, Host
from penstock_workers.surroundings import RealSurroundings


class Sink:
    """Keeps what it is given, or is full."""

    def __init__(self, *, full: bool = False) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self.full = full

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Take a line."""
        if self.full:
            raise OSError("no space left on device")
        self.lines.append((level, plugin, message))


def notes(
    sink: Sink | None = None, *, capabilities: tuple[str, ...] = ("log", "env"), **limits: int
) -> CallNotes:
    """The notes of a call with these grants."""
    grants = Grants(capabilities=frozenset(capabilities), env={"GREETING": "hello"}, limits=Limits(**limits))
    return CallNotes(grants, sink or Sink(), RealSurroundings())


def test_nothing_special_is_nothing_to_say() -> None:
    """A plain call adds no bytes to its result."""
    assert notes().metadata() == {}


def test_lines_go_to_the_sink_and_stay_with_the_call() -> None:
    """On one line each."""
    sink = Sink()
    call = notes(sink)

    call.log("text", "warn", "two\nlines", cut=False)

    assert sink.lines == [("warn", "text", "two\\nlines")]
    assert call.metadata() == {"logs": [{"level": "warn", "message": "two\\nlines"}]}


def test_sink_that_fails_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """The line is kept with the result, and the failure is ours to know."""
    call = notes(Sink(full=True))

    call.log("text", "info", "kept", cut=False)

    assert call.metadata()["logs"] == [{"level": "info", "message": "kept"}]
    assert "The log sink failed" in caplog.text


def test_room_shrinks_by_lines_and_by_bytes() -> None:
    """Whichever cap is reached first leaves no room."""
    few, short = notes(log_lines=1), notes(log_bytes=8)

    few.log("p", "info", "x", cut=False)
    short.log("p", "info", "ééé", cut=False)

    assert few.log_room_bytes == 0
    assert short.log_room_bytes == 1


def test_refusals_are_kept_once_and_bounded() -> None:
    """A guest that tries ten thousand things does not grow its result."""
    call = notes()

    for number in range(10_000):
        call.deny(f"env-get V{number % 100}\n" + "x" * 1000)

    denied = call.metadata()["denied"]
    assert len(denied) == MAX_DENIED
    assert all(len(what) <= 200 and what.isprintable() for what in denied)


def test_environment_is_only_what_was_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no way through to this process's own variables."""
    monkeypatch.setenv("SECRET", "s")
    call = notes()

    assert call.environment("GREETING") == "hello"
    assert call.environment("SECRET") is None


def test_stream_is_logged_by_lines() -> None:
    """What has no end of line yet waits for it, or for the end of the call."""
    sink = Sink()
    host = Host("text")
    host.notes = notes(sink)

    host.write_stream("info", b"one\ntw")
    host.write_stream("warn", b"other\n")
    host.write_stream("info", b"o\n\xff")
    host.finish_streams()

    assert [(level, message) for level, _, message in sink.lines] == [
        ("info", "one"),
        ("warn", "other"),
        ("info", "two"),
        ("info", "\ufffd"),
    ]


def test_stream_without_ends_of_lines_is_bounded() -> None:
    """A line that is long enough is logged as it is; what has no room is counted."""
    sink = Sink()
    host = Host("text")
    host.notes = notes(sink, log_lines=2)

    for _ in range(5):
        host.write_stream("info", b"x" * 5000)

    assert [len(message) for *_, message in sink.lines] == [5000, 5000]
    assert host.notes.metadata()["logs_dropped"] == 3


def test_stream_needs_the_log_capability() -> None:
    """Standard output is the log, and no way around it."""
    sink = Sink()
    host = Host("text")
    host.notes = notes(sink, capabilities=())

    host.write_stream("info", b"line\n")

    assert sink.lines == []
    assert host.notes.metadata() == {"denied": ["log"]}


def test_host_between_calls_has_nobody_to_serve() -> None:
    """No guest runs then; a call that comes all the same is a bug of ours."""
    with pytest.raises(RuntimeError, match="while no call runs"):
        Host("text").write_stream("info", b"x")
