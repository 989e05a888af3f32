"""What a run found, as a file: figures by case, and the machine that they were taken on."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.case import Figures
from penstock.machine import memory_gb, package_versions, processor, redis_version, system

#: Whose versions are kept with the figures.
_PACKAGES = ("celery", "redis", "wasmtime", "dramatiq", "taskiq", "taskiq-redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What figures depend on beside the code."""

    cores: int
    processor: str
    memory_gb: int
    system: str
    python: str
    #: Of the Redis server.
    redis: str
    #: Name → version.
    packages: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One case as it was run."""

    #: How much of it was done.
    size: int
    took_s: float
    #: When it had ended, in UTC.
    at: str
    #: Processes that ran or waited in the minute before it began: well below 1 on a quiet machine.
    #: None: unknown.
    load_before: float | None
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A file of results."""

    machine: Machine
    cases: dict[str, Measured] = field(default_factory=dict)

    def with_case(self, name: str, measured: Measured) -> Results:
        """The same with one case measured anew."""
        return Results(machine=self.machine, cases={**self.cases, name: measured})

    def to_json(self) -> str:
        """As text, for a file that is read and compared by people too."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """What `to_json` wrote.

        Raises:
            ValueError: it is no file of results.
        """
        try:
            shape: dict[str, Any] = json.loads(text)
            cases = {name: Measured(**measured) for name, measured in shape["cases"].items()}
            return cls(machine=Machine(**shape["machine"]), cases=cases)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"no file of results: {error}") from error


def read_results(path: Path) -> Results:
    """The results in a file.

    Raises:
        ValueError: it is no file of results.
        OSError: it cannot be read.
    """
    return Results.from_json(path.read_text(encoding="utf-8"))


def start_from(path: Path, machine: Machine) -> Results:
    """Where a run begins that writes to this file: with the other cases of the same machine, or with none."""
    if path.exists():
        found = read_results(path)
        if found.machine == machine:
            return found
    return Results(machine=machine)


def this_machine(redis_server: Path) -> Machine:
    """The machine that this runs on."""
    return Machine(
        cores=os.cpu_count() or 1,
        processor=processor(),
        memory_gb=memory_gb(),
        system=system(),
        python=platform.python_version(),
        redis=redis_version(redis_server),
        packages=package_versions(_PACKAGES),
    )


def now() -> str:
    """This minute in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
