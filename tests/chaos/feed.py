"""The producer that is killed: submits numbered calls until all are accepted, and goes on where it ended.

Half of them are single calls with an idempotency key each, so that submitting one again is safe, and every
other one of those waits under one of three batch keys; the other half is one `map`, resumed by its id. What
was accepted is written to a file only to tell the test the ids.
"""

from __future__ import annotations

import sys
from pathlib import Path

from penstock_scheduler.producer import Producer


def main(folder: Path, singles: int, mapped: int) -> None:
    """Feed `singles` calls numbered from 0 and `mapped` calls numbered after them."""
    with Producer.connect() as producer:
        with (folder / "singles").open("a") as ids:
            for n in range(singles):
                key = f"key-{n % 3}" if n % 2 else None
                job = producer.submit("witness.run", {"n": n}, idempotency_key=f"call-{n}", batch_key=key)
                print(n, job.id, file=ids, flush=True)
        inputs = ({"n": singles + k} for k in range(mapped))
        known = folder / "map"
        if known.exists():
            job_of_all = producer.map("witness.run", inputs, job=known.read_text())
        else:
            job_of_all = producer.map("witness.run", inputs)
            known.write_text(job_of_all.id)
        job_of_all.submitted()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
