"""Every benchmark by its name. A module of cases has a `CASES`, and is added here."""

from __future__ import annotations

from benchmarks import (
    batch_entry,
    batching,
    costs,
    fairness,
    fused,
    in_process,
    latency,
    memory,
    pipelines,
    scaling,
    throughput,
)
from benchmarks.case import Case

#: In the order in which they are run and shown.
CASES: dict[str, Case] = {
    **in_process.CASES,
    **batch_entry.CASES,
    **throughput.CASES,
    **latency.CASES,
    **costs.CASES,
    **batching.CASES,
    **fairness.CASES,
    **pipelines.CASES,
    **fused.CASES,
    **scaling.CASES,
    **memory.CASES,
}
