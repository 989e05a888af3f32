"""The demo from its start to its end: a system of its own, thousands of real files, and two hostile calls."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from penstock.cli.progress import CallProgress
from penstock.cli.words import counted
from penstock.demo.attack import Attack
from penstock.demo.calls import Calls
from penstock.demo.corpus import Corpus, spread, standard_library
from penstock.demo.documents import own_documents
from penstock.demo.outlines import condensed, is_python
from penstock.demo.page import describe
from penstock.demo.publishing import Publishing
from penstock.demo.report import Report, Stopped, Wait
from penstock.demo.system import own_system
from penstock.demo.whole import WholeFiles
from penstock_broker_config.settings import Settings
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.manifest import read_manifest
from penstock_plugins.policy import narrow
from penstock_plugins.result import ToolResult
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler import Producer

PROCESSES = 2
#: The hostile calls are made when this share of the files is done.
HOSTILE_AT = 0.1
#: Seconds for all files of a tool; a few are enough, or a minute.
DEADLINE_S = 300.0

#: Published while the first calls run: native code for Python takes its time.
_LATER = ("markdown", "code")
_COMPILING = "Compiling Python itself for the plugin `code`: 10 to 30 s, and only once …"


def run_demo(output: Path, *, most_files: int | None, say: Callable[[str], None]) -> Report:
    """Run it all and write one line for each file to `output`.

    Args:
        output: for the lines.
        most_files: sources at most, from the whole library. None: all.
        say: gets what begins.

    Raises:
        PenstockError: the system does not start, or stops to answer.
    """
    started = time.monotonic()
    say(f"Starting Redis, a scheduler and a worker with {PROCESSES} sandboxing processes …")
    plugins = [shipped_plugins() / name for name in ("text", "hostile")]
    with own_system(processes=PROCESSES, plugins=plugins) as settings:
        later = [shipped_plugins() / name for name in _LATER]
        with Publishing(settings, later) as publishing, Producer(settings) as producer:
            report = _Demo(settings, producer, say, started).run(publishing, most_files)
    with output.open("wb") as lines:
        for row in report.rows():
            lines.write(orjson.dumps(row) + b"\n")
    return report


@dataclass(slots=True)
class _Demo:
    settings: Settings
    producer: Producer
    say: Callable[[str], None]
    #: When the demo began, by the monotonic clock.
    started: float
    report: Report = field(default_factory=Report)

    def run(self, publishing: Publishing, most_files: int | None) -> Report:
        self._waited("The system starts", since_s=0.0)
        corpus = Corpus(standard_library(), params_bytes=self._params_bytes("text"))
        paths = corpus.paths()
        paths = paths if most_files is None else spread(paths, most_files)
        self._stats(corpus, paths)
        since_s = self._clock()
        trouble = publishing.wait(_COMPILING)
        self._waited("Plugins are compiled", since_s=since_s)
        if trouble is not None:
            self.report.troubles.append(f"{', '.join(_LATER)} could not be published: {trouble}")
            return self.report
        self._documents()
        self._outlines(corpus.folder, paths)
        return self.report

    def _stats(self, corpus: Corpus, paths: list[Path]) -> None:
        calls = self.report.stats
        calls.files = corpus.files
        self.say(f"Calling {calls.tool} for each of {counted(len(paths), '.py file')} in {corpus.folder} …")
        attack: Attack | None = None
        with CallProgress(calls.tool, len(paths)) as progress:

            def tell(stopped: list[Stopped]) -> None:
                for one in stopped:
                    self.report.hostile.append(one)
                    progress.note(describe(one))

            for result, at_s in self._map(calls, corpus.rows(paths)):
                calls.add(result, at_s=at_s)
                progress.advance(failed=not result.success)
                if attack is None and len(calls.results) >= HOSTILE_AT * len(paths):
                    attack = Attack(self.producer, clock=self._clock, ended=lambda: len(calls.results))
                elif attack is not None:
                    tell(attack.news())
            if attack is not None:
                tell(attack.rest())

    def _documents(self) -> None:
        calls = self.report.documents
        with tempfile.TemporaryDirectory(prefix="penstock-demo-") as unpacked:
            found = own_documents(Path(unpacked))
            texts = WholeFiles(found.folder, lambda text: {"text": text}, self._params_bytes("markdown"))
            calls.files, self.report.documents_of = texts.files, found.origin
            self.say(f"Calling {calls.tool} for {counted(len(found.paths), 'document')} of {found.origin} …")
            for result, at_s in self._map(calls, texts.rows(list(found.paths))):
                calls.add(result, at_s=at_s)

    def _outlines(self, folder: Path, paths: list[Path]) -> None:
        calls = self.report.outlines
        sources = WholeFiles(folder, lambda text: {"source": text}, self._params_bytes("code"))
        calls.files, self.report.skipped = sources.files, sources.skipped
        self.say(f"Calling {calls.tool}, which is Python in WebAssembly, for the same files …")
        with CallProgress(calls.tool, len(paths)) as progress:
            for result, at_s in self._map(calls, sources.rows(paths)):
                index = result.index or 0
                refused = result.error is not None and result.error.code == ErrorCode.VALIDATION_ERROR
                if refused and not is_python(calls.files[index].path):
                    calls.excused.add(index)
                calls.add(condensed(result), at_s=at_s)
                progress.advance(failed=not result.success and index not in calls.excused)
            progress.total(len(calls.files))

    def _map(self, calls: Calls, rows: Iterator[dict[str, Any]]) -> Iterator[tuple[ToolResult, float]]:
        calls.began_s = self._clock()
        for result in self.producer.map(calls.tool, rows).results(wait_s=DEADLINE_S):
            yield result, self._clock() - calls.began_s

    def _clock(self) -> float:
        return time.monotonic() - self.started

    def _waited(self, what: str, *, since_s: float) -> None:
        self.report.waits.append(Wait(what=what, began_s=since_s, took_s=self._clock() - since_s))

    def _params_bytes(self, plugin: str) -> int:
        """What a call of its tools may take: by its manifest, and by the operator."""
        manifest = read_manifest((shipped_plugins() / plugin / "plugin.toml").read_bytes())
        return narrow(manifest, self.settings.operator_policy(manifest.name)).limits.params_bytes
