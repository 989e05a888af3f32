"""The words for how a replay's process ended, from what it said before."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest

from penstock_workers.reproduction.orders import Orders, read_answers
from penstock_workers.reproduction.run import Manner, _ending

ORDERS = Orders(
    file_fd=3,
    answer_fd=4,
    parent_pid=1,
    cache_dir="/cache",
    capabilities=["log"],
    env={"NAME": "value"},
    limits={"memory_bytes": 65536, "fuel": None},
    timeout_s=2.0,
    grace_s=0.5,
    standstill_s=20.0,
    sandbox_path="auto",
)


@pytest.mark.parametrize(
    ("status", "said", "complaint", "words"),
    [
        (-signal.SIGKILL, ["calling", "overran"], "", "within its 2 s and 0.5 s of grace"),
        (-signal.SIGKILL, ["calling"], "", "want of memory"),
        (-signal.SIGXCPU, ["calling"], "", "stood still for 20 s"),
        (-signal.SIGSEGV, ["calling"], "", r"signal 11 \(SIGSEGV\) while the call ran"),
        (-signal.SIGABRT, [], "", r"signal 6 \(SIGABRT\) before the call began"),
        (-99, ["calling"], "", "signal 99 while"),
        (1, ["calling"], "Traceback\n  …\nMemoryError\n", "ran out of memory while the call ran"),
        (1, [], "Traceback\n  …\nValueError: no\n", "status 1 before the call began.*: ValueError: no"),
        (3, ["calling"], "", "status 3 while the call ran: it said nothing"),
        (None, ["calling"], "", "did not end while the call ran, and was killed"),
    ],
)
def test_J3_each_manner_of_death_has_its_words(
    status: int | None, said: list[str], complaint: str, words: str
) -> None:
    """What ended it, and how far the call had come."""
    ending = _ending(status, {each: {"said": each} for each in said}, complaint, ORDERS)

    assert ending.manner is Manner.DIED
    assert ending.result is None
    assert re.search(words, ending.words), ending.words


@pytest.mark.parametrize(("success", "manner"), [(True, Manner.SUCCEEDED), (False, Manner.FAILED)])
def test_what_was_returned_counts_whatever_the_process_did_then(success: bool, manner: Manner) -> None:
    """A crash at the interpreter's end is not the call's."""
    answer: dict[str, Any] = {"said": "returned", "result": {"success": success}}

    assert _ending(-11, {"returned": answer}, "", ORDERS).manner is manner


def test_orders_and_answers_travel_as_json() -> None:
    """A line that was not finished is left out, and so is what is no answer."""
    raw = b'{"said": "calling"}\n[]\n{"other": 1}\n\xff\n{"said": "retu'

    assert Orders.from_json(ORDERS.to_json()) == ORDERS
    assert read_answers(raw) == [{"said": "calling"}]
