"""Which of the two ways into wasmtime a process takes: the lean one, when it is sure, or the public API."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from penstock_plugins.errors import ConfigurationError
from penstock_workers.lean.trial import asked_apart
from penstock_workers.public_path import PublicPath

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Component, Linker

    from penstock_workers.guest import Exports, GuestPath

logger = logging.getLogger(__name__)

#: `auto`: lean where it can be; `lean`: lean or nothing; `public`: wasmtime's Python API.
SandboxPath = Literal["auto", "lean", "public"]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether this wasmtime takes the lean path."""

    #: Why not. None: it does.
    problem: str | None


#: Of this process, or of the one that it was forked from. None: nobody has asked yet.
_verdict: _Verdict | None = None


def path_to(
    engine: Engine, linker: Linker, component: Component, exports: Exports, choice: SandboxPath = "auto"
) -> GuestPath:
    """A linked component's way to fresh instances.

    Raises:
        ConfigurationError: the lean path was asked for and does not fit this wasmtime.
    """
    if not takes_lean_path(choice):
        return PublicPath(engine, linker, component, exports)
    # Imported here: where it does not fit, even binding its functions may fail.
    from penstock_workers.lean.guest import LeanPath

    return LeanPath(engine, linker, component, exports)


def takes_lean_path(choice: SandboxPath) -> bool:
    """Whether calls go by the lean path.

    Raises:
        ConfigurationError: it was asked for and does not fit this wasmtime.
    """
    if choice == "public":
        return False
    reason = lean_problem()
    if reason is not None and choice == "lean":
        raise ConfigurationError(
            f"sandbox_path: the lean path does not fit: {reason}. "
            "Set it to auto, or install the wasmtime that Penstock asks for"
        )
    return reason is None


def lean_problem() -> str | None:
    """Why this process cannot take the lean path; found out once, and said once in the log."""
    if _verdict is None:
        _keep(_look_for_problem())
    return None if _verdict is None else _verdict.problem


def settle_before_fork() -> None:
    """Find it out for all processes that are forked from this one, which itself runs nothing of wasmtime."""
    if _verdict is None:
        _keep(asked_apart(_look_for_problem))


def _keep(reason: str | None) -> None:
    global _verdict  # noqa: PLW0603 - a fact about the library, which a process does not change
    _verdict = _Verdict(reason)
    if reason is not None:
        logger.warning(
            "Calls take wasmtime's Python API, which is slower: %s",
            reason,
            extra={"action": "sandbox.public", "reason": reason},
        )


def _look_for_problem() -> str | None:
    try:
        from penstock_workers.lean import library

        if (reason := library.problem()) is not None:
            return reason
        from penstock_workers.lean.self_test import differences

        found = differences()
    except Exception as error:  # noqa: BLE001 - whatever it is: the other path is there
        return f"{type(error).__name__}: {error}"
    return "; ".join(found) or None
