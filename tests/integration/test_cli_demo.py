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

    done = cli("demo", "-o", "results.jsonl", "--files", "20")

    assert done.code == 0
    assert "All is well." in done.out
    assert "text.stats: " in done.err
    assert "\x1b" not in done.out + done.err
