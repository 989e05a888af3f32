"""Hostile calls in the midst of the good ones, each from a thread of its own, reported when they ended."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from penstock.demo.report import EXPECTED, Stopped
from penstock_plugins.errors import PenstockError
from penstock_scheduler import Producer

#: Seconds for a hostile call to be stopped; its own limit is one.
STOPPED_S = 60.0


class Attack:
    """One call of each hostile tool, side by side with everything else."""

    def __init__(self, producer: Producer, *, clock: Callable[[], float], ended: Callable[[], int]) -> None:
        """Make the calls.

        Args:
            producer: makes them.
            clock: seconds since the demo's start.
            ended: how many other calls have ended so far.
        """
        self._producer = producer
        self._clock = clock
        self._ended = ended
        self._news: queue.SimpleQueue[Stopped | PenstockError] = queue.SimpleQueue()
        self._waited_for = 0
        for tool in EXPECTED:
            threading.Thread(target=self._call, args=(tool,), name=tool, daemon=True).start()
            self._waited_for += 1

    def news(self) -> list[Stopped]:
        """The calls that ended since this was asked last.

        Raises:
            PenstockError: one could not be made at all.
        """
        found = []
        while not self._news.empty():
            found.append(self._next(0.0))
        return found

    def rest(self) -> list[Stopped]:
        """Wait for those that have not been told of."""
        return [self._next(STOPPED_S) for _ in range(self._waited_for)]

    def _next(self, wait_s: float) -> Stopped:
        news = self._news.get(timeout=wait_s) if wait_s else self._news.get_nowait()
        self._waited_for -= 1
        if isinstance(news, PenstockError):
            raise news
        return news

    def _call(self, tool: str) -> None:
        at_s, before = self._clock(), self._ended()
        try:
            result = self._producer.submit(tool, {}, queue="high").result(wait_s=STOPPED_S)
        except PenstockError as error:
            self._news.put(error)
            return
        took_s = self._clock() - at_s
        self._news.put(Stopped(result=result, at_s=at_s, took_s=took_s, meanwhile=self._ended() - before))
