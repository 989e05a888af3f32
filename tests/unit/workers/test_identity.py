"""Names of processes: what can be known about a lease holder from its name."""

from __future__ import annotations

import subprocess
import sys

from penstock_workers.identity import holder_is_gone, host_tag, next_holder, process_name


def test_every_claim_has_a_name_of_its_own() -> None:
    """Two claims of one process are told apart."""
    assert next_holder() != next_holder()
    assert next_holder().startswith(process_name() + "#")


def test_an_earlier_claim_of_this_process_is_over() -> None:
    """A process runs one batch at a time: when it claims again, the one before has ended."""
    assert holder_is_gone(next_holder())


def test_a_process_that_ended_is_gone_and_a_living_one_is_not() -> None:
    """By process id and start time on the same host."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        code = f"from penstock_workers import identity; print(identity._start_ticks({child.pid}))"
        ticks = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        holder = f"{host_tag()}:{child.pid}:{ticks}#1"
        alive = holder_is_gone(holder)
        child.communicate(b"\n")

    assert alive is False
    assert holder_is_gone(holder)


def test_of_other_hosts_nothing_is_known() -> None:
    """Their leases are waited for."""
    assert not holder_is_gone("elsewhere.12345678.1:1:1#1")
    assert not holder_is_gone("nonsense")
