"""The demo from its start to its end: a system of its own, thousands of real files, and two hostile calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import orjson

from penstock.cli.progress import CallProgress
from penstock.demo.attack import Attack
from penstock.demo.corpus import Corpus, standard_library
from penstock.demo.page import describe
from penstock.demo.report import Report, Stopped
from penstock.demo.system import own_system
from penstock_broker_config.settings import Settings
from penstock_plugins.bundle import read_bundle
from penstock_plugins.policy import narrow
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler import Producer

PROCESSES = 2
TOOL = "text.stats"
#: The hostile calls are made when this share of the files is done.
HOSTILE_AT = 0.1
#: Seconds for all files; a few are enough.
DEADLINE_S = 300.0


def run_demo(output: Path, *, say: Callable[[str], None]) -> Report:
    """Run it all and write one line for each file to `output`.

    Raises:
        PenstockError: the system does not start, or stops to answer.
    """
    say(f"Starting Redis, a scheduler and a worker with {PROCESSES} sandboxing processes …")
    plugins = [shipped_plugins() / name for name in ("text", "hostile")]
    with own_system(processes=PROCESSES, plugins=plugins) as settings:
        corpus = Corpus(standard_library(), params_bytes=_params_bytes(settings))
        paths = corpus.paths()
        say(f"Calling {TOOL} for each of the {len(paths):,} .py files in {corpus.folder} …")
        with Producer(settings) as producer:
            report = _measure(producer, corpus, paths)
    with output.open("wb") as lines:
        for row in report.rows():
            lines.write(orjson.dumps(row) + b"\n")
    return report


def _measure(producer: Producer, corpus: Corpus, paths: list[Path]) -> Report:
    report = Report(files=corpus.files)
    attack: Attack | None = None
    started = time.monotonic()
    with CallProgress(TOOL, len(paths)) as progress:

        def tell(stopped: list[Stopped]) -> None:
            for one in stopped:
                report.hostile.append(one)
                progress.note(describe(one))

        for result in producer.map(TOOL, corpus.rows(paths)).results(wait_s=DEADLINE_S):
            report.add(result)
            report.took_s = time.monotonic() - started
            progress.advance(failed=not result.success)
            if attack is None and len(report.results) >= HOSTILE_AT * len(paths):
                attack = Attack(producer, ended=lambda: len(report.results))
            elif attack is not None:
                tell(attack.news())
        if attack is not None:
            tell(attack.rest())
    return report


def _params_bytes(settings: Settings) -> int:
    """What a call of the tool may take: by its manifest, and by the operator."""
    manifest = read_bundle(shipped_plugins() / "text").manifest
    return narrow(manifest, settings.operator_policy(manifest.name)).limits.params_bytes
