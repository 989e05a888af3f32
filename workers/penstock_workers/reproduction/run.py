"""Runs a reproduction in a process of its own, and says in words how that process ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from penstock_plugins.limits import MIB
from penstock_plugins.policy import OperatorPolicy, narrow
from penstock_workers.artifacts.memfd import new_memfd, sealed_bytes
from penstock_workers.reproduction.case import Frozen, Reproduction
from penstock_workers.reproduction.orders import (
    CALLING,
    OVERRAN,
    REFUSED,
    RETURNED,
    Orders,
    read_answers,
)
from penstock_workers.standstill import ALLOWANCE_S

#: Capabilities that reach nothing outside of the sandbox; others need this machine's own consent.
HARMLESS = frozenset({"log", "env", "wasi"})
#: Seconds for compiling and starting, and for what no watch inside of the process has ended.
_START_S, _AFTER_S = 300.0, 60.0
#: Bytes that the process may allocate beyond the guest's memories.
_BESIDE_BYTES = 4096 * MIB
_COMPLAINT_BYTES = 4096
#: What the process gets to see of our environment: what Python needs to start, and no secrets.
_ENVIRONMENT = (
    *("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH"),
    *("PYTHONHOME", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV"),
)


class Manner(StrEnum):
    """How it ended."""

    SUCCEEDED = "succeeded"
    #: The call failed, as a call may.
    FAILED = "failed"
    #: The process ended before the call did, as the worker's had.
    DIED = "died"
    #: The plugin could not be loaded here; the call was not made.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of a replay."""

    manner: Manner
    #: One sentence.
    words: str
    #: What the call returned, as T-2 has it. None: it did not return.
    result: dict[str, Any] | None = None
    #: What ended the process. None: it was not a signal.
    signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What this machine allows a replay."""

    cache_dir: Path
    #: What this machine's operator allows the plugin.
    policy: OperatorPolicy
    #: Values of `env-get`; only of names that the call could see.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Makes clocks and random numbers repeat. None: as the reproduction says.
    frozen: Frozen | None = None
    #: Seconds of CPU for which the process's Python may stand still, as a pool process's may.
    standstill_s: float = ALLOWANCE_S


def policy_here(reproduction: Reproduction, here: Here) -> OperatorPolicy:
    """The policy of the replay: what the call had, as far as this machine allows it to strangers."""
    case = reproduction.case
    return OperatorPolicy(
        capabilities=frozenset(case.capabilities) & (HARMLESS | here.policy.capabilities),
        env={name: value for name, value in here.env.items() if name in case.env},
        limits=case.call_limits.narrowed(here.policy.limits),
    )


def replay(reproduction: Reproduction, content: bytes, here: Here) -> Ending:
    """Run it to its end, whatever that is.

    Args:
        reproduction: what was read of `content`; the process reads it again.
        content: the file.
        here: what this machine allows.
    """
    policy = policy_here(reproduction, here)
    grants = narrow(reproduction.bundle.manifest, policy, timeout_s=reproduction.case.timeout_s)
    limits = grants.limits
    file_fd = sealed_bytes("penstock-reproduction", content)
    answer_fd, complaint_fd = new_memfd("penstock-answer"), new_memfd("penstock-complaint")
    frozen = here.frozen or reproduction.case.frozen
    try:
        orders = Orders(
            file_fd=file_fd,
            answer_fd=answer_fd,
            parent_pid=os.getpid(),
            cache_dir=str(here.cache_dir),
            capabilities=sorted(policy.capabilities),
            env=dict(policy.env),
            limits=asdict(replace(limits, timeout_s=policy.limits.timeout_s)),
            timeout_s=limits.timeout_s,
            grace_s=reproduction.case.grace_s,
            standstill_s=here.standstill_s,
            sandbox_path=reproduction.case.sandbox_path,
            at_s=None if frozen is None else frozen.at_s,
            seed=None if frozen is None else frozen.seed,
            data_bytes=limits.memory_bytes * limits.memories + _BESIDE_BYTES,
        )
        status = _run(orders, complaint_fd, wait_s=_START_S + limits.timeout_s + orders.grace_s + _AFTER_S)
        said = {answer["said"]: answer for answer in read_answers(_content(answer_fd))}
        complaint = _content(complaint_fd)[-_COMPLAINT_BYTES:].decode(errors="replace")
    finally:
        for fd in (file_fd, answer_fd, complaint_fd):
            os.close(fd)
    return _ending(status, said, complaint, orders)


def _run(orders: Orders, complaint_fd: int, *, wait_s: float) -> int | None:
    """The status of the process; None when it had to be killed."""
    # Not among the arguments, which every user of the machine can see: it has values of variables.
    orders_fd = sealed_bytes("penstock-orders", orders.to_json())
    os.lseek(orders_fd, 0, os.SEEK_SET)
    process = subprocess.Popen(
        # -P: what lies in the current directory is never imported.
        [sys.executable, "-P", "-m", "penstock_workers.reproduction"],
        stdin=orders_fd,
        stdout=subprocess.DEVNULL,
        stderr=complaint_fd,
        pass_fds=(orders.file_fd, orders.answer_fd),
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )
    try:
        return process.wait(wait_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()
        os.close(orders_fd)


def _content(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0)


def _ending(status: int | None, said: Mapping[str, dict[str, Any]], complaint: str, orders: Orders) -> Ending:
    if RETURNED in said:
        result = said[RETURNED]["result"]
        manner = Manner.SUCCEEDED if result["success"] else Manner.FAILED
        return Ending(manner=manner, words=f"The call {manner.value}.", result=result)
    if REFUSED in said:
        return Ending(manner=Manner.REFUSED, words=str(said[REFUSED]["message"]))
    when = "while the call ran" if CALLING in said else "before the call began, while its plugin was loaded"
    if status is None:
        return Ending(manner=Manner.DIED, words=f"The process did not end {when}, and was killed.")
    if OVERRAN in said:
        words = (
            f"The call did not come back within its {orders.timeout_s:g} s and {orders.grace_s:g} s of grace,"
            " and its process was ended (signal 9): something outside of the guest held it up."
        )
        return Ending(manner=Manner.DIED, words=words, signal=signal.SIGKILL)
    if status < 0:
        return Ending(manner=Manner.DIED, words=_by_signal(-status, when, orders), signal=-status)
    last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
    if "MemoryError" in last[0]:
        return Ending(manner=Manner.DIED, words=f"The process ran out of memory {when}.")
    return Ending(manner=Manner.DIED, words=f"The process ended with status {status} {when}: {last[0]}")


def _by_signal(number: int, when: str, orders: Orders) -> str:
    try:
        name = f" ({signal.Signals(number).name})"
    except ValueError:
        name = ""
    why = ""
    if number == signal.SIGXCPU:
        why = (
            f": its Python stood still for {orders.standstill_s:g} s of CPU, in code that nothing interrupts"
        )
    elif number == signal.SIGKILL:
        why = ": nothing of ours sent it, so most likely the kernel did, for want of memory"
    return f"The process was ended by signal {number}{name} {when}{why}."
