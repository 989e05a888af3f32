"""Stopping the call that runs, only that one, and the process when nothing else helps."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_workers.executor import PreparedTool
from penstock_workers.guard import CallGuard
from penstock_workers.outcome import Outcome
from tests.conformance.guest import LOOP, guest
from tests.conformance.guests import GOOD
from tests.conformance.house import WAYS, House
from tests.support.waiting import wait_until

ENDLESS = guest("endless", call=LOOP, limits={"timeout_s": 60})
INIT_ENDLESS = guest("init-endless", init=LOOP, limits={"timeout_s": 60})


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def house(request: pytest.FixtureRequest) -> House:
    """A process's guests, on each way into wasmtime."""
    return House(way=request.param)


def _in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def _invoke(prepared: PreparedTool, name: str, *, left_s: float | None = None) -> Outcome:
    return prepared.invoke("{}", token=name, timeout_s=left_s)


def _run(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def _cancel_when_running(guard: CallGuard, token: str) -> None:
    wait_until(lambda: guard.running == token, 10, "the call runs")
    assert guard.cancel(token)


def test_running_call_is_cancelled(house: House) -> None:
    """A cancel from another thread ends a guest that would run for a minute, in the call and in `init`."""
    for endless in (ENDLESS, INIT_ENDLESS):
        canceller = _in_background(partial(_cancel_when_running, house.guard, endless.name))

        outcome = house.call(endless)

        canceller.join()
        assert outcome.failure is not None
        assert outcome.failure.code is ErrorCode.CANCELLED
    assert house.call(GOOD).failure is None


def test_cancel_of_another_call_does_nothing(house: House) -> None:
    """A token that does not run is nobody's, before, during and after a call."""
    assert not house.guard.cancel("nobody")
    assert house.call(GOOD).failure is None
    assert not house.guard.cancel(GOOD.name)


def test_cancel_never_hits_the_next_call(house: House) -> None:
    """Cancels that come around the end of their call leave the calls of others alone."""
    prepared = house.prepare(GOOD)
    over = threading.Event()

    def cancel_the_doomed() -> None:
        while not over.is_set():
            house.guard.cancel("doomed")

    canceller = _in_background(cancel_the_doomed)
    doomed, spared = [], []
    for _ in range(300):
        doomed.append(_invoke(prepared, "doomed"))
        spared.append(_invoke(prepared, "spared"))
    over.set()
    canceller.join()

    assert all(outcome.success for outcome in spared)
    codes = {outcome.failure.code for outcome in doomed if outcome.failure is not None}
    assert codes <= {ErrorCode.CANCELLED}


def test_call_gets_no_more_than_the_time_that_is_left(house: House) -> None:
    """The smallest of the tool's time, the submission's and what is left counts; nothing left is no call."""
    soon = _invoke(house.prepare(ENDLESS), "a", left_s=0.05)
    submitted = _invoke(house.prepare(ENDLESS, timeout_s=0.05), "b", left_s=30)
    never = _invoke(house.prepare(ENDLESS), "c", left_s=-1)

    codes = [outcome.failure and outcome.failure.code for outcome in (soon, submitted, never)]
    assert codes == [ErrorCode.TIMEOUT] * 3
    assert soon.failure is not None
    assert "0.05 s" in soon.failure.message
    assert never.failure is not None
    assert "no time left" in never.failure.message


def test_host_call_that_does_not_come_back_ends_the_process() -> None:
    """Epochs do not reach into host functions: the process is killed, and says nothing more."""
    script = """
import threading
from penstock_workers.guard import CallGuard
from tests.conformance.house import WAYS, House
from tests.conformance.guest import guest
from tests.conformance.wat import Data, content
from penstock_workers import host

data = Data()
at, size = data.string("x")
log = f"(call $log (i32.const 1) (i32.const {at}) (i32.const {size}))" + content(data, "true")
asks = guest("asks", call=log, data=data, host=["log"], limits={"timeout_s": 0.1})
host.CallNotes.log = lambda *_, **__: threading.Event().wait()
print("calling", flush=True)
House(guard=CallGuard(grace_s=0.1)).call(asks)
print("came back", flush=True)
"""
    ended = _run(script)

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == "calling\n", ended.stderr


def test_native_code_that_keeps_the_interpreter_ends_the_process() -> None:
    """A schema whose references double at each level would keep the validator busy for years."""
    script = """
from penstock_plugins.schema import ParamsSchema
from penstock_workers.standstill import StandstillWatch

defs = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)}
schema = {"type": "object", "$defs": {**defs, "a60": {"type": "object"}}, "$ref": "#/$defs/a0"}
StandstillWatch(allowance_s=1, move_every_s=0.2).start()
print("checking", flush=True)
ParamsSchema(schema).check({})
print("came back", flush=True)
"""
    ended = _run(script)

    assert ended.returncode == -signal.SIGXCPU
    assert ended.stdout == "checking\n", ended.stderr


def test_a_busy_process_is_left_alone() -> None:
    """Python that gets its turns may use as much of the processor as it likes."""
    script = """
import time
from penstock_workers.standstill import StandstillWatch

watch = StandstillWatch(allowance_s=1, move_every_s=0.1)
watch.start()
while time.process_time() < 2.5:
    pass
watch.stop()
print("done")
"""
    ended = _run(script)

    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
