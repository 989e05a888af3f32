"""The process that runs a reproduction: `python -m penstock_workers.reproduction`, its orders on stdin.

It is what a pool process is to a worker: it may be ended by its guard, by the kernel, or by whatever the call
does to it, and nobody else is hurt. It compiles the plugin itself and loads no native code from the file.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

from penstock_plugins.errors import PenstockError
from penstock_plugins.limits import Limits
from penstock_plugins.policy import OperatorPolicy
from penstock_workers.guard import CallGuard, kill_this_process
from penstock_workers.local_opening import open_bundle
from penstock_workers.reproduction.file import read_reproduction
from penstock_workers.reproduction.orders import CALLING, OVERRAN, REFUSED, RETURNED, Orders
from penstock_workers.standstill import StandstillWatch
from penstock_workers.surroundings import Freeze, RealSurroundings

_PR_SET_PDEATHSIG = 1


def main(orders: Orders) -> int:
    """Run it, and say how far it came."""
    _bind(orders)

    def say(what: str, **more: Any) -> None:
        os.write(orders.answer_fd, orjson.dumps({"said": what, **more}) + b"\n")

    def overrun() -> None:
        say(OVERRAN)
        kill_this_process()

    # Opened anew, since the position of the descriptor is shared with the parent.
    reproduction = read_reproduction(Path(f"/proc/self/fd/{orders.file_fd}").read_bytes())
    policy = OperatorPolicy(
        capabilities=frozenset(orders.capabilities),
        env=orders.env,
        limits=Limits(**cast("dict[str, Any]", orders.limits)),
    )
    frozen = None if orders.at_s is None else Freeze(at_s=orders.at_s, seed=orders.seed or 0)
    case = reproduction.case
    try:
        StandstillWatch(allowance_s=orders.standstill_s).start()
        executor = open_bundle(
            reproduction.bundle,
            case.tool,
            cache_dir=Path(orders.cache_dir),
            operator_policy=lambda _: policy,
            log_sink=_NoSink(),
            surroundings=frozen or RealSurroundings,
            sandbox_path=cast("Any", orders.sandbox_path),
            guard=CallGuard(grace_s=orders.grace_s, on_overrun=overrun),
        )
        with executor:
            say(CALLING)
            result = executor.run_text(case.tool, reproduction.params, timeout_s=orders.timeout_s)
    except PenstockError as error:
        say(REFUSED, message=str(error))
        return 0
    say(RETURNED, result=result.to_dict())
    return 0


class _NoSink:
    """Log lines of guests go nowhere: the result has them."""

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Drop the line."""


def _bind(orders: Orders) -> None:
    """Die with the parent, leave no core, and be the first to go when the machine runs out of memory."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != orders.parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (orders.data_bytes, orders.data_bytes))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    sys.exit(main(Orders.from_json(sys.stdin.buffer.read())))
