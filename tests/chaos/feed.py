"""The producer that is killed: submits numbered calls until all are accepted, and goes on where it ended.

Most are single calls with an idempotency key each, so that submitting one again is safe; the others are one
`map`, resumed by its id. What was accepted is written to files only to tell the test the ids.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from penstock_scheduler.options import CallOptions
from penstock_scheduler.producer import Producer
from tests.chaos.entry import RINGS_VARIABLE, witness_doorbells

#: What single calls are, by their number: see `single`.
KINDS = ("plain", "once", "limited", "delayed", "keyed", "own_key", "failed", "high")
#: Keys that calls wait under.
KEYS = 3


def kind_of(n: int) -> str:
    """The kind of a single call of the mixed feed."""
    return KINDS[n % len(KINDS)]


def params_of(n: int, *, waits: bool) -> dict[str, Any]:
    """Params of a call; it waits 20 to 50 ms in the host."""
    params: dict[str, Any] = {"n": n, "key": f"k{n // len(KINDS) % KEYS}"}
    return params | {"ms": 20 + n * 7919 % 31} if waits else params


def single(n: int) -> tuple[str, dict[str, Any], CallOptions]:
    """Tool, params and options of a single call of the mixed feed."""
    kind = kind_of(n)
    key = f"k{n // len(KINDS) % KEYS}"
    match kind:
        case "once" | "limited" | "failed":
            return f"witness.{kind}", params_of(n, waits=kind != "limited"), {}
        case "own_key":
            return "witness.keyed", params_of(n, waits=True), {}
        case "delayed":
            return "witness.run", params_of(n, waits=True), {"eta_s": 0.2 + n % 20 / 10}
        case "keyed":
            return "witness.run", params_of(n, waits=True), {"batch_key": key}
        case "high":
            return "witness.run", params_of(n, waits=True), {"queue": "high"}
    return "witness.run", params_of(n, waits=True), {}


def known_jobs(folder: Path) -> dict[int, str]:
    """The jobs of the single calls that were accepted. The last line may have been cut off."""
    file = folder / "singles"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    found = [line.split() for line in lines if line.endswith("\n")]
    return {int(words[0]): words[1] for words in found if len(words) == 2}


def main(folder: Path, singles: int, mapped: int, pace_s: float | None) -> None:
    """Feed `singles` calls numbered from 0 and `mapped` calls numbered after them.

    Args:
        folder: for the files with the ids.
        singles: single calls.
        mapped: calls of the map.
        pace_s: seconds between two single calls of the mixed feed. None: the plain feed, in which every
            other call waits under one of three batch keys; one more call is put off, and cancelled.
    """
    with Producer.connect() as producer:
        inputs = ({"n": singles + k} for k in range(mapped))
        if pace_s is not None:
            inputs = (params_of(singles + k, waits=True) for k in range(mapped))
        job_file = folder / "map"
        job_of_all = producer.map(
            "witness.run", inputs, job=job_file.read_text() if job_file.exists() else None
        )
        if not job_file.exists():
            draft = folder / "map.draft"
            draft.write_text(job_of_all.id)
            draft.rename(job_file)
        known = known_jobs(folder)
        with (folder / "singles").open("a") as ids:
            print(file=ids)
            for n in (n for n in range(singles) if n not in known):
                tool, params, options = _plain(n) if pace_s is None else single(n)
                job = producer.submit(tool, params, idempotency_key=f"{folder.name}-{n}", **options)
                print(n, job.id, file=ids, flush=True)
                time.sleep(pace_s or 0)
        job_of_all.submitted()
        if pace_s is None:
            producer.flush("witness.run", "key-0")
            put_off = producer.submit(
                "witness.run", {"n": -1}, idempotency_key=f"{folder.name}-put-off", eta_s=3600
            )
            put_off.cancel()


def _plain(n: int) -> tuple[str, dict[str, Any], CallOptions]:
    return "witness.run", {"n": n}, {"batch_key": f"key-{n % 3}"} if n % 2 else {}


if __name__ == "__main__":
    if RINGS_VARIABLE in os.environ:
        witness_doorbells()
    pace = float(sys.argv[4]) if len(sys.argv) > 4 else None
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), pace)
