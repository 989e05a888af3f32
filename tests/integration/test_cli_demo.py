"""`penstock demo`, as the README tells a stranger to run it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command_line import CommandLine


def test_the_demo_calls_tools_in_every_language_and_stops_what_is_hostile(tmp_path: Path) -> None:
    """One line for each file, measured and outlined; exit code 0."""
    done = CommandLine(tmp_path)("demo", "--json", "--files", "60")

    summary = done.json
    rows = [json.loads(line) for line in (tmp_path / "demo-results.jsonl").read_text().splitlines()]
    assert (done.code, summary["problems"]) == (0, [])
    page = (tmp_path / "demo-report.html").read_text()
    assert (summary["report"], page.count("<svg")) == ("demo-report.html", 7)
    assert "penstock demo --json --files 60" in page
    assert summary["files"] == summary["tools"]["text.stats"]["calls"] == len(rows) == 60
    assert summary["tools"]["code.outline"]["calls"] >= 50
    assert summary["tools"]["markdown.to_html"]["calls"] >= 5
    assert all(row["lines"] >= 0 for row in rows)
    assert sum(row.get("outline", {}).get("functions", 0) for row in rows) > 500
    assert {call["tool"]: call["error"]["code"] for call in summary["hostile"]} == {
        "hostile.loop": "TIMEOUT",
        "hostile.hog": "OUT_OF_MEMORY",
    }


def test_the_demo_minds_its_own_system_only(tmp_path: Path) -> None:
    """Whatever else is configured, and wherever it would lead."""
    cli = CommandLine(
        tmp_path,
        {"PENSTOCK_REDIS_URL": "redis://127.0.0.1:1/0", "PENSTOCK_SIGNING_KEY": "sixteen bytes or more"},
    )

    done = cli("demo", "-o", "results.jsonl", "--report", "page.html", "--files", "20")

    assert done.code == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert "All is well." in done.out
    assert "text.stats: " in done.err
    assert "\x1b" not in done.out + done.err


def test_the_demo_overwrites_nothing_that_it_did_not_write(tmp_path: Path) -> None:
    """It is refused as wrong usage, before anything starts."""
    thesis = tmp_path / "demo-report.html"
    thesis.write_text("<title>Ten years of work</title>")

    done = CommandLine(tmp_path)("demo", "--files", "1")

    assert done.code == 2
    assert "--report" in done.err
    assert "Starting" not in done.err
    assert thesis.read_text() == "<title>Ten years of work</title>"
    assert not (tmp_path / "demo-results.jsonl").exists()
