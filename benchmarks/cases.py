"""Every benchmark by its name. A module of cases has a `CASES`, and is added here."""

from __future__ import annotations

from benchmarks import latency, memory, throughput
from benchmarks.case import Case

#: In the order in which they are run and shown.
CASES: dict[str, Case] = {
    **throughput.CASES,
    **latency.CASES,
    **memory.CASES,
}
