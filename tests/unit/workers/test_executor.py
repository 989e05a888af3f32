"""What the executor checks before a guest runs, and what it makes of grants."""

from __future__ import annotations

import threading

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import (
    CatalogError,
    CompileError,
    PermissionDeniedError,
    ToolNotFoundError,
    ToolNotReadyError,
)
from penstock_plugins.limits import Limits
from penstock_plugins.policy import OperatorPolicy
from penstock_plugins.result import ToolFailure
from penstock_workers.executor import Executor
from penstock_workers.guard import CallGuard
from penstock_workers.plugin import WarmPlugin
from tests.conformance.guest import LOOP, guest
from tests.conformance.guests import GOOD
from tests.conformance.house import WAYS, House, LinkedGuests
from tests.conformance.wasi_guests import WASI_GUESTS

ECHO = guest("echo", limits={"params_bytes": 100})


@pytest.fixture(scope="module")
def house() -> House:
    """A process with nothing special about it."""
    return House()


def invoke(house: House, params: str | bytes) -> bytes | ToolFailure:
    """What a tool that returns its params makes of these."""
    outcome = house.prepare(ECHO).invoke(params, token="t")  # noqa: S106 - the name of a call
    content = outcome.failure or outcome.content
    assert content is not None
    return content


@pytest.mark.parametrize("params", ['{"a": "é"}', '{"a": "é"}'.encode()])
def test_params_are_text_or_bytes(house: House, params: str | bytes) -> None:
    """JSON either way."""
    assert invoke(house, params) == '{"a":"é"}'.encode()


def test_guest_gets_what_was_checked(house: House) -> None:
    """A key that is there twice means one thing to us, and must not mean another to the guest."""
    assert invoke(house, '{"a": 1, "a": 2}') == b'{"a":2}'


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ("{", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        ('{"a": ' + "[" * 40 + "]" * 39 + "}", "not JSON"),
        ('{"a": "' + "x" * 100 + '"}', "at most 100"),
        ("[1]", "do not fit"),
        ("null", "do not fit"),
    ],
)
def test_params_that_are_none_fail_the_call(house: House, params: str | bytes, says: str) -> None:
    """No guest runs; the failure says where and why."""
    failure = invoke(house, params)

    assert isinstance(failure, ToolFailure)
    assert failure.code is ErrorCode.VALIDATION_ERROR
    assert says in failure.message
    assert failure.details is not None
    assert failure.details["errors"][0]["path"] == "$"


def test_nested_params_are_refused_before_they_cannot_be_written(house: House) -> None:
    """Our JSON reader goes deeper than our writer."""
    deep = guest("deep")

    outcome = house.prepare(deep).invoke('{"a":' + "[" * 400 + "]" * 400 + "}", token="t")  # noqa: S106

    assert outcome.failure is not None
    assert outcome.failure.code is ErrorCode.VALIDATION_ERROR


def test_unknown_tool_is_not_prepared() -> None:
    """The error names the plugin and its tools."""
    plugins = LinkedGuests(WAYS["lean"])
    executor = Executor(plugins, operator_policy=lambda _: OperatorPolicy(), guard=CallGuard())

    with pytest.raises(ToolNotFoundError, match=r"Unknown tool: good\.walk") as error:
        executor.prepare(plugins.add(GOOD), "walk")

    assert error.value.details["known"] == ["run"]


@pytest.mark.parametrize("reason", [CatalogError("no such plugin"), CompileError("too large")])
def test_plugin_that_cannot_be_had_fails_its_calls(reason: Exception) -> None:
    """Trying again would not help: the calls end with the reason."""

    class Empty:
        def get(self, digest: str, *, metered: bool = False) -> WarmPlugin:
            raise reason

    executor = Executor(Empty(), operator_policy=lambda _: OperatorPolicy(), guard=CallGuard())

    with pytest.raises(ToolNotReadyError, match=str(reason)):
        executor.prepare("d", "run")


def test_operator_may_meter_what_no_manifest_asked_for() -> None:
    """Where the operator limits fuel, an engine counts it and the result says how much it was."""
    house = House(OperatorPolicy(limits=Limits(fuel=100_000)))

    good = house.call(GOOD)
    again = house.call(GOOD)
    endless = house.call(guest("endless", call=LOOP))

    assert good.metadata["fuel"] == again.metadata["fuel"] > 0
    assert endless.failure is not None
    assert endless.failure.code is ErrorCode.OUT_OF_FUEL
    assert endless.metadata["fuel"] == 100_000


def test_operator_who_does_not_grant_wasi_does_not_run_it() -> None:
    """Asking is not enough."""
    house = House(OperatorPolicy())

    with pytest.raises(PermissionDeniedError, match="imports WASI"):
        house.prepare(WASI_GUESTS["prints"])


def test_tools_own_time_narrows() -> None:
    """`[[tool]] timeout_s` counts beside the plugin's limits and the submission's."""
    slow = guest("slow", call=LOOP)
    manifest = slow.manifest + '\n[[tool]]\nname = "run"\ntimeout_s = 0.05\n'
    house = House()

    outcome = house.prepare(slow.with_manifest(manifest), timeout_s=20).invoke("{}", token="t")  # noqa: S106

    assert outcome.failure is not None
    assert outcome.failure.message == "The call was stopped after 0.05 s"


def test_two_calls_at_once_are_refused_in_words() -> None:
    """A process runs one guest call at a time; a second executor is another's business."""
    house = House()
    endless = house.prepare(guest("endless", call=LOOP, limits={"timeout_s": 60}))
    first = threading.Thread(target=lambda: endless.invoke("{}", token="first"))  # noqa: S106
    first.start()
    while house.guard.running is None:
        first.join(0.001)

    with pytest.raises(RuntimeError, match="call first still runs"):
        house.call(GOOD)

    house.guard.cancel("first")
    first.join()
    assert house.call(GOOD).success
