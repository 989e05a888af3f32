"""A real browser without a window, and a server that notices whatever a page asks for."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.commands import output_of
from tests.support.ports import LOOPBACK, free_port

#: Milliseconds of the page's own clock after it has loaded: for its timers, not for ours.
_VIRTUAL_MS = 3000


def find_browser() -> str | None:
    """Chromium or Chrome, where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def opened(page: Path, *, profile: Path) -> str:
    """The page as the browser has it in the end, as HTML; frames are left out."""
    return page_at(page.as_uri(), profile=profile)


def page_at(url: str, *, profile: Path) -> str:
    """What is at the URL, likewise."""
    return _browse("--dump-dom", url, profile=profile)


def picture_of(url: str, file: Path, *, profile: Path) -> Path:
    """What a person sees at the URL, as a PNG file."""
    _browse(f"--screenshot={file}", "--window-size=1400,760", "--hide-scrollbars", url, profile=profile)
    return file


def _browse(*arguments: str, profile: Path) -> str:
    return output_of(
        [
            find_browser() or "chromium",
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *(f"--user-data-dir={profile}", f"--virtual-time-budget={_VIRTUAL_MS}"),
            *arguments,
        ]
    )


@contextmanager
def witness() -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with nothing.

    Yields:
        Its address, and the paths that it was asked for.
    """
    asked: list[str] = []

    class _Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: what was asked for is what counts."""

    with ThreadingHTTPServer((LOOPBACK, free_port()), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="witness")
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
