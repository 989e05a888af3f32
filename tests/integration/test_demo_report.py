"""The demo's report in a real browser. Not collected where there is none: see conftest.py."""

from __future__ import annotations

from pathlib import Path

from penstock.demo.web.document import document
from tests.support.browser import opened, witness
from tests.support.demo_reports import report_of


def hostile(address: str, where: str) -> str:
    """HTML that asks that address for something in every way that there is, and runs scripts if it may."""
    url = f"{address}/{where}"
    return (
        f"\"'></title></style></svg><script src='{url}/script'></script><img src='{url}/img'>"
        f"<script>document.documentElement.dataset.{where} = 'ran'; fetch('{url}/fetch')</script>"
        f"<img src=x onerror=\"fetch('{url}/onerror')\"><link rel=stylesheet href='{url}/css'>"
        f"<style>@import '{url}/import'; body {{ background: url({url}/background) }}</style>"
        f"<iframe src='{url}/iframe'></iframe><object data='{url}/object'></object>"
        f"<meta http-equiv=refresh content='0;url={url}/refresh'><video src='{url}/video'></video>"
    )


def test_the_browser_draws_the_report_and_runs_nothing_of_what_is_in_it(tmp_path: Path) -> None:
    """With names, messages and documents that try all they can; nobody is asked for anything."""
    with witness() as (address, asked):
        report = report_of(
            12,
            name=hostile(address, "name"),
            message=hostile(address, "message"),
            html=hostile(address, "html"),
        )
        page = tmp_path / "report.html"
        page.write_text(document(report, [("Command", hostile(address, "command"))]), encoding="utf-8")

        shown = opened(page, profile=tmp_path / "profile")

    assert asked == []
    assert shown.count("<svg") == 7
    assert shown.count("<circle") == 12
    assert shown.count("<iframe") == 1
    assert "data-name" not in shown.partition(">")[0] + shown.partition("<head>")[0]
    assert "</html>" in shown


def test_the_same_texts_would_run_if_they_were_let(tmp_path: Path) -> None:
    """So that the test above says something."""
    with witness() as (address, asked):
        page = tmp_path / "page.html"
        page.write_text(f"<!doctype html><html><body>{hostile(address, 'page')}</body></html>")

        opened(page, profile=tmp_path / "profile")

    assert {"/page/script", "/page/img", "/page/fetch", "/page/onerror", "/page/css"} <= set(asked)


def test_a_frame_is_held_by_its_sandbox_and_its_policy(tmp_path: Path) -> None:
    """The frame alone, in a page of no policy: its own is enough."""
    with witness() as (address, asked):
        report = report_of(3, html=hostile(address, "html"))
        text = document(report, [])
        frame = text[text.index("<iframe") : text.index("</iframe>")] + "</iframe>"
        page = tmp_path / "page.html"
        page.write_text(f"<!doctype html><html><body>{frame}</body></html>", encoding="utf-8")

        opened(page, profile=tmp_path / "profile")

    assert asked == []
