"""What pool processes have finished, as the parent sees it."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from penstock_workers.finished import FinishedBatches
from penstock_workers.messages import batch_of


def test_a_batch_that_a_forked_process_finished_is_known() -> None:
    """The memory is shared; other batches are not meant."""
    finished = FinishedBatches()

    child = os.fork()
    if child == 0:
        finished.add("job.0")
        os._exit(0)
    os.waitpid(child, 0)

    assert "job.0" in finished
    assert "job.1" not in finished
    assert "" not in finished


def test_what_is_remembered_is_bounded_and_never_wrong() -> None:
    """An old entry may give way to a new one; what was never finished is never there."""
    finished = FinishedBatches()
    for n in range(20_000):
        finished.add(f"job.{n}")

    assert "job.19999" in finished
    assert not any(f"other.{n}" in finished for n in range(20_000))


def test_writers_and_readers_side_by_side_agree() -> None:
    """A digest that is read while it is written fits no batch that was not added."""
    finished = FinishedBatches()

    def write(name: str) -> None:
        for n in range(5000):
            finished.add(f"{name}.{n}")

    writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    wrong = [n for n in range(20_000) if f"never.{n}" in finished]
    for writer in writers:
        writer.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("body", "batch"),
    [
        ([["job.0"], {}, {}], "job.0"),
        ([[], {}, {}], ""),
        ([[7], {}, {}], ""),
        ([["job.0", "more"], {}, {}], ""),
    ],
)
def test_a_message_names_one_batch_or_none(body: Any, batch: str) -> None:
    """What is no doorbell is left to the task, which says so."""
    assert batch_of(SimpleNamespace(decode=lambda: body)) == batch
