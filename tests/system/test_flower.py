"""Flower as `compose/` has it, looked at in a browser: a row for each tool, behind a password."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from penstock_scheduler import Producer
from tests.support.browser import find_browser, page_at, picture_of
from tests.support.compose_project import ComposeProject
from tests.support.ports import LOOPBACK
from tests.support.waiting import wait_until

WAIT_S = 60.0


def test_flower_shows_a_row_for_each_tool(
    hosts: ComposeProject, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Named after its tool, with its state and its host; the picture is what a person sees."""
    if find_browser() is None:
        pytest.skip("no Chromium is installed")
    with Producer(hosts.settings_of("producer")) as producer:
        producer.submit("text.slug", {"text": "a secret"}).result(wait_s=WAIT_S)
        producer.submit("text.stats", {"text": "a secret"}).result(wait_s=WAIT_S)
        producer.submit("text.distance", {"a": "kitten", "b": "sitting"}).result(wait_s=WAIT_S)
    tasks = f"http://{hosts.flower_user}@{LOOPBACK}:{hosts.flower_port}/tasks"

    page = wait_until(
        lambda: _complete(page_at(tasks, profile=tmp_path / "profile")), WAIT_S, "Flower has seen the calls"
    )
    picture = picture_of(tasks, tmp_path / "flower.png", profile=tmp_path / "profile")

    assert "SUCCESS" in page
    assert "w@worker-" in page
    assert "a secret" not in page
    assert picture.stat().st_size > 20_000
    if (kept := request.config.getoption("--screenshot", default=None)) is not None:
        shutil.copy(picture, kept)


def test_flower_wants_its_password(hosts: ComposeProject) -> None:
    """Pages and API alike."""
    for path in ("/tasks", "/api/tasks", "/api/workers"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://{LOOPBACK}:{hosts.flower_port}{path}", timeout=10)


def _complete(page: str) -> str:
    return page if all(tool in page for tool in ("text.slug", "text.stats", "text.distance")) else ""
