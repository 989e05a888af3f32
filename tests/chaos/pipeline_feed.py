"""The producer of pipelines that is killed: one map, resumed by its id, and runs of one item beside it.

The map's first input waits until the map's id is in a file: who starts again finds it, or it has no items.
Inputs come in bursts, so that a message carries some: one at a time, each would be a message in every stage.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock_scheduler.producer import Producer
from tests.chaos.feed import known_jobs
from tests.chaos.pipeline_work import PIPELINE, input_of

#: Inputs of the map that are there at once.
BURST = 25


def main(folder: Path, singles: int, mapped: int, seconds: float) -> None:
    """Feed items numbered from 0 one by one, and those after them as a map, all within so many seconds."""
    begun = _written(folder / "begun", str(time.time()))
    job_file = folder / "map"
    named = threading.Event()

    def inputs() -> Iterator[dict[str, Any]]:
        named.wait()
        for k in range(mapped):
            _sleep_until(float(begun) + seconds * (k - k % BURST) / mapped)
            yield input_of(singles + k)

    with Producer.connect() as producer:
        known = job_file.read_text() if job_file.exists() else None
        job = producer.map(PIPELINE, inputs(), job=known)
        _written(job_file, job.id)
        named.set()
        done = known_jobs(folder)
        with (folder / "singles").open("a") as ids:
            print(file=ids)
            for n in (n for n in range(singles) if n not in done):
                _sleep_until(float(begun) + seconds * n / singles)
                one = producer.submit(PIPELINE, input_of(n), idempotency_key=f"{folder.name}-{n}")
                print(n, one.id, file=ids, flush=True)
        job.submitted()


def _written(file: Path, text: str) -> str:
    """What a file says, which has this text unless it was there before."""
    if not file.exists():
        draft = file.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(file)
    return file.read_text()


def _sleep_until(clock: float) -> None:
    time.sleep(max(0.0, clock - time.time()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
