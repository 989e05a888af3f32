"""Many calls: `map` against one message per call, and what sending alone costs."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bare_executor import text_slug
from benchmarks.case import EVERY_SECOND, Bars, Case, Figures, Goal
from benchmarks.contenders import Celery, Contender, Penstock, peers
from benchmarks.measuring import median, median_ratio, timed
from benchmarks.system import System, penstock_system

#: Rounds in which all take turns; medians are quoted.
ROUNDS = 3
#: Of so many calls of `map`, the others make one: they would take minutes. A rate needs no more.
FEWER = 50
#: What a turn begins with and is not measured: connections, code paths, and the size of Penstock's chunks.
WARM_UP_CALLS = {"Penstock": 600}
PEERS_WARM_UP_CALLS = 20


def throughput(calls: int) -> Figures:
    """`map` of small calls, 1 and 2 pool processes, against one message per call, all results read.

    Everybody's worker is started for its turn and stopped after it, so that nothing else runs meanwhile.
    """
    return _throughput(calls, every_second=False)


def throughput_everysec(calls: int) -> Figures:
    """The same on a Redis that syncs once a second, which costs those less who write more often."""
    return _throughput(calls, every_second=True)


def _throughput(calls: int, *, every_second: bool) -> Figures:
    sides: list[tuple[Contender, int, int]] = [(Penstock(), 1, calls), (Penstock(), 2, calls)]
    sides += [(peer, processes, max(100, calls // FEWER)) for peer in peers() for processes in (1, 2)]
    rates: dict[str, list[float]] = {"in process": []}
    with penstock_system(processes=0, every_second=every_second) as system, text_slug(system) as slug:
        for _ in range(ROUNDS):
            rates["in process"].append(_in_process_rate(slug, calls // 5))
            for contender, processes, turn in sides:
                rate = _rate(system, contender, processes, turn)
                rates.setdefault(f"{contender.name}, {processes} proc", []).append(rate)
    figures: Figures = {f"{name}, calls/s": median(found) for name, found in rates.items()}
    for processes in (1, 2):
        ours = rates[f"Penstock, {processes} proc"]
        for peer in peers_of(rates):
            theirs = rates[f"{peer}, {processes} proc"]
            figures[f"times as fast as {peer}, {processes} proc"] = median_ratio(ours, theirs)
    figures["share of the rate in process, 1 proc"] = median_ratio(
        rates["Penstock, 1 proc"], rates["in process"]
    )
    return figures


def enqueue(calls: int) -> Figures:
    """Sending alone, one by one and by `map`, while no worker runs."""
    sides: list[Contender] = [Penstock(), *peers()]
    rates: dict[str, list[float]] = {}
    with penstock_system(processes=0) as system:
        for _ in range(ROUNDS):
            for contender in sides:
                with contender.client(system) as client:
                    client.send(20)
                    took_s = timed(lambda client=client: client.send(calls))  # type: ignore[misc]
                rates.setdefault(contender.name, []).append(calls / took_s)
            rates.setdefault("Penstock map", []).append(_feed_rate(system, calls * 5))
    figures: Figures = {f"{name}, calls/s": median(found) for name, found in rates.items()}
    for name in ("Penstock", "Penstock map"):
        figures[f"{name}, times as fast as Celery"] = median_ratio(rates[name], rates[Celery.name])
    return figures


def peers_of(rates: dict[str, list[float]]) -> list[str]:
    """The names of those that took part beside Penstock."""
    return [
        name.removesuffix(", 1 proc") for name in rates if name.endswith(", 1 proc") and "Pen" not in name
    ]


def _rate(system: System, contender: Contender, processes: int, calls: int) -> float:
    with contender.worker(system, processes=processes), contender.client(system) as client:
        client.run(WARM_UP_CALLS.get(contender.name, PEERS_WARM_UP_CALLS))
        return calls / timed(lambda: client.run(calls))


def _in_process_rate(slug: Callable[[str], object], calls: int) -> float:
    texts = [f"Hello World {n}" for n in range(calls)]
    slug("warm up")
    return calls / timed(lambda: [slug(text) for text in texts])


def _feed_rate(system: System, calls: int) -> float:
    """As many as the bound on calls in flight lets through; nobody takes them away."""
    with system.producer() as producer:
        job = producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
        took_s = timed(lambda: job.submitted(60))
        job.cancel()
    return calls / took_s


def _bars(*, processes: int) -> dict[str, str]:
    names = ("Penstock", "Dramatiq", "taskiq", "Celery")
    return {name: f"{name}, {processes} proc, calls/s" for name in names}


_GOALS = (
    Goal(
        part=1,
        text="`map`, one worker process: at least 8 times one Celery task per call",
        figure="times as fast as Celery, 1 proc",
        at_least=8,
    ),
    Goal(
        part=2,
        text="`map`, one worker process: at least 20 times one Celery task per call",
        figure="times as fast as Celery, 1 proc",
        at_least=20,
    ),
    Goal(
        part=2,
        text="at least 5 times Dramatiq",
        figure="times as fast as Dramatiq, 1 proc",
        at_least=5,
    ),
    Goal(
        part=2,
        text="at least half of the rate in process",
        figure="share of the rate in process, 1 proc",
        at_least=0.5,
    ),
)

_CHARTS = (
    Bars(
        title="Small calls, one worker process",
        unit="calls/s",
        bars=_bars(processes=1) | {"in process, no queue": "in process, calls/s"},
    ),
    Bars(title="Small calls, two worker processes", unit="calls/s", bars=_bars(processes=2)),
)

CASES = {
    "throughput": Case(run=throughput, full=50_000, quick=2_000, goals=_GOALS, charts=_CHARTS),
    "throughput_everysec": Case(
        run=throughput_everysec,
        full=50_000,
        quick=2_000,
        goals=_GOALS,
        charts=_CHARTS,
        durability=EVERY_SECOND,
    ),
    "enqueue": Case(
        run=enqueue,
        full=1_000,
        quick=100,
        charts=(
            Bars(
                title="Sending alone",
                unit="calls/s",
                bars={
                    "Penstock map": "Penstock map, calls/s",
                    "Penstock submit": "Penstock, calls/s",
                    "Dramatiq": "Dramatiq, calls/s",
                    "taskiq": "taskiq, calls/s",
                    "Celery": "Celery, calls/s",
                },
            ),
        ),
    ),
}
