"""Calls that share an instance give what each gives alone, whatever some of them do (B-5)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.policy import OperatorPolicy
from penstock_workers import together
from penstock_workers.inspection import inspect_plugin
from penstock_workers.outcome import Outcome
from penstock_workers.prepared import PreparedTool
from tests.conformance.guest import SHORT_S, Guest, guest
from tests.conformance.house import OPERATOR, WAYS, House
from tests.conformance.wat import EACH, Data, component

#: A call is `{"do":"x"}` and more; the letter is its seventh byte.
GOOD, TRAPS, LOOPS, HOGS, FAILS, BABBLES, LOGS, FLOODS = "gtlhfbps"


def _animal() -> dict[str, Any]:
    """A tool that does as it is told: returns its params, or misbehaves."""
    data = Data()
    words = data.string("a line")
    error = data.words(*data.string('{"code":"NOT_FOUND","message":"gone"}'), 1)
    babble = data.words(*data.string("no JSON"), 0)
    flood = data.words(*data.string('"' + "x" * 2000 + '"'), 0)
    branches = {
        TRAPS: "unreachable",
        LOOPS: "(loop $l (br $l))",
        HOGS: "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)",
        FAILS: f"(return (i32.const {error}))",
        BABBLES: f"(return (i32.const {babble}))",
        LOGS: f"(call $log (i32.const 1) (i32.const {words[0]}) (i32.const {words[1]}))",
        FLOODS: f"(return (i32.const {flood}))",
    }
    tests = "".join(
        f"(if (i32.eq (local.get $do) (i32.const {ord(letter)})) (then {body}))"
        for letter, body in branches.items()
    )
    call = f"""
      (local $do i32)
      (local.set $do (i32.load8_u offset=7 (local.get $args)))
      {tests}
      (i32.store (i32.const 16) (local.get $args))
      (i32.store (i32.const 20) (local.get $args-size))
      (i32.store (i32.const 24) (i32.const 0))
      (i32.const 16)"""
    return {"data": data, "call": call, "host": ("log",)}


LIMITS = {"timeout_s": 20.0, "output_bytes": 1000, "memory_bytes": 4 * 1024 * 1024}
ANIMAL = guest("animal", together=True, limits=LIMITS, batch=EACH, **_animal())
#: The same, for calls that go on for ever.
HASTY = replace(ANIMAL, limits={**LIMITS, "timeout_s": 2 * SHORT_S})
#: The same without a batch entry point.
LONER = guest("loner", together=True, limits=LIMITS, **_animal())


@pytest.fixture(scope="module", params=WAYS)
def house(request: pytest.FixtureRequest) -> House:
    """A process, on each way into wasmtime."""
    return House(way=WAYS[request.param])


class Runs:
    """Counts what is run, in the executor's own functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.groups: list[int] = []
        self.alone = 0
        try_together, invoke = PreparedTool.try_together, PreparedTool.invoke

        def counted(prepared: PreparedTool, args_json: Sequence[bytes], **terms: Any) -> Any:
            self.groups.append(len(args_json))
            return try_together(prepared, args_json, **terms)

        def counted_alone(prepared: PreparedTool, params_json: str | bytes, **terms: Any) -> Outcome:
            self.alone += 1
            return invoke(prepared, params_json, **terms)

        monkeypatch.setattr(PreparedTool, "try_together", counted)
        monkeypatch.setattr(PreparedTool, "invoke", counted_alone)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """What is run, and groups that begin with all 64 calls."""
    monkeypatch.setattr(together, "FIRST_CALLS", together.MAX_CALLS)
    return Runs(monkeypatch)


def told(deeds: str) -> list[bytes]:
    """The params of calls that do this."""
    return [orjson.dumps({"do": deed, "n": k}) for k, deed in enumerate(deeds)]


def seen(outcome: Outcome) -> tuple[object, ...]:
    """What a caller sees, times aside."""
    metadata = {k: v for k, v in outcome.metadata.items() if k != "batched"}
    return outcome.content, outcome.failure, metadata


def both(house: House, guest: Guest, params: list[bytes]) -> list[Outcome]:
    """The outcomes by the entry point, which must be those of fresh instances."""
    prepared = house.prepare(guest)
    outcomes = prepared.invoke_many(params, token="many")  # noqa: S106 - the name of the calls
    alone = [prepared.invoke(p, token="one") for p in params]  # noqa: S106
    assert [seen(outcome) for outcome in outcomes] == [seen(outcome) for outcome in alone]
    return outcomes


def test_B5_calls_of_a_batch_share_an_instance(house: House, runs: Runs) -> None:
    """All of them succeed, each with its own answer, and the metadata says how many there were."""
    outcomes = both(house, ANIMAL, told(GOOD * 64))

    assert runs.groups == [64]
    assert {outcome.metadata["batched"] for outcome in outcomes} == {64}
    assert [orjson.loads(outcome.content or b"")["n"] for outcome in outcomes] == list(range(64))


@pytest.mark.parametrize("place", [0, 31, 63])
@pytest.mark.parametrize(
    ("deed", "code"),
    [(TRAPS, ErrorCode.TRAP), (LOOPS, ErrorCode.TIMEOUT), (HOGS, ErrorCode.TRAP)],
)
def test_B5_the_guilty_call_is_alone_in_the_end(
    house: House, runs: Runs, deed: str, code: ErrorCode, place: int
) -> None:
    """It gets its own error; the others succeed, in instances that they share."""
    deeds = GOOD * place + deed + GOOD * (63 - place)
    prepared = house.prepare(HASTY if deed is LOOPS else ANIMAL)

    outcomes = prepared.invoke_many(told(deeds), token="many")  # noqa: S106

    failures = {k: outcome.failure.code for k, outcome in enumerate(outcomes) if outcome.failure}
    assert failures == {place: code}
    assert len(runs.groups) <= 12
    assert runs.alone <= 2


@pytest.mark.parametrize("deed", [FAILS, BABBLES, FLOODS])
def test_B5_an_error_is_only_believed_alone(house: House, runs: Runs, deed: str) -> None:
    """A failed answer costs a run of its own, and no halving."""
    both(house, ANIMAL, told(GOOD * 10 + deed + GOOD * 20))

    assert runs.groups == [31]


def test_B5_each_call_keeps_its_own_log(house: House, runs: Runs) -> None:
    """Whose line it is cannot be told in a group, so its calls run alone; no line is there twice."""
    outcomes = both(house, ANIMAL, told(GOOD * 3 + LOGS + GOOD * 3))

    assert [len(outcome.metadata.get("logs", [])) for outcome in outcomes] == [0, 0, 0, 1, 0, 0, 0]


def test_B5_params_that_are_refused_never_reach_the_guest(house: House, runs: Runs) -> None:
    """They fail as they do alone, wherever they are."""
    params = told(GOOD * 20)
    for place, wrong in ((0, b"{"), (7, b"[]"), (19, b"null")):
        params[place] = wrong

    outcomes = both(house, ANIMAL, params)

    assert runs.groups == [17]
    failures = [outcome.failure.code for outcome in outcomes if outcome.failure]
    assert failures == [ErrorCode.VALIDATION_ERROR] * 3


def test_B5_a_batch_of_nothing_but_trouble_ends_soon(house: House, runs: Runs) -> None:
    """Halving has a bound; then each call has its instance, and later ones are not even tried together."""
    outcomes = both(house, ANIMAL, told(TRAPS * 300))

    assert {outcome.failure.code for outcome in outcomes if outcome.failure} == {ErrorCode.TRAP}
    assert len(runs.groups) <= 2 * (together.MAX_SPLITS + 1)


@given(deeds=st.text(alphabet=GOOD * 6 + TRAPS + FAILS + BABBLES + LOGS + FLOODS, max_size=80))
def test_B5_any_mixture_gives_what_single_calls_give(house: House, deeds: str) -> None:
    """Contents, failures to the letter, logs."""
    both(house, ANIMAL, told(deeds))


def test_B5_without_an_entry_point_each_call_has_its_instance(house: House, runs: Runs) -> None:
    """A plugin of the first world is called as ever."""
    outcomes = both(house, LONER, told(GOOD * 3 + TRAPS))

    assert not runs.groups
    assert not any("batched" in outcome.metadata for outcome in outcomes)


@pytest.mark.parametrize(
    "batch",
    [
        "(i32.store (i32.const 32) (i32.const 0)) (i32.store (i32.const 36) (i32.const 0)) (i32.const 32)",
        # One more than there are calls, all of zeros.
        """(i32.store (i32.const 32) (i32.const 4096))
           (i32.store (i32.const 36) (i32.add (local.get $count) (i32.const 1))) (i32.const 32)""",
        "(i32.store (i32.const 32) (i32.const -4)) (i32.store (i32.const 36) (i32.const 1)) (i32.const 32)",
        "(i32.const -8)",
        "(i32.store (i32.const 32) (i32.const 0)) (i32.store (i32.const 36) (i32.const -1)) (i32.const 32)",
        "unreachable",
        "(loop $l (br $l)) unreachable",
    ],
    ids=["none", "one-more", "outside", "no-list", "endless", "trap", "loop"],
)
def test_B5_a_batch_entry_point_that_lies_changes_nothing(house: House, batch: str) -> None:
    """Its answers are not taken, and `call-tool` is asked instead."""
    liar = guest("liar", together=True, limits=LIMITS, batch=batch, **_animal())

    outcomes = both(house, liar, told(GOOD * 5))

    assert all(outcome.success for outcome in outcomes)


@pytest.mark.parametrize(
    "other",
    [
        guest("unasked", batch=EACH, **_animal()),
        guest("metered", together=True, batch=EACH, limits={"fuel": 10_000_000}, **_animal()),
    ],
    ids=lambda other: other.name,
)
def test_B5_what_may_not_be_shared_is_not(house: House, other: Guest) -> None:
    """The manifest must ask, and fuel is counted for each call."""
    assert not house.prepare(other).runs_together


def test_B5_a_tool_that_is_not_idempotent_never_shares() -> None:
    """Halving runs calls again."""
    manifest = ANIMAL.manifest.replace("idempotent = true", "retryable = true")
    once = Guest(name="animal", wat=ANIMAL.wat, written=manifest)

    assert not House().prepare(once).runs_together


def test_B5_the_operator_has_a_switch() -> None:
    """Then nothing of a call can reach another one."""
    off = OperatorPolicy(capabilities=OPERATOR.capabilities, batch_entry_point=False)

    assert not House(off).prepare(ANIMAL).runs_together
    assert House().prepare(ANIMAL).runs_together


def test_B5_a_cancel_ends_all_that_is_left(house: House, runs: Runs) -> None:
    """No halving, and no other call is begun."""
    patient = guest("patient", together=True, batch=EACH, limits={"timeout_s": 30.0}, **_animal())
    prepared = house.prepare(patient)
    canceller = threading.Thread(target=_cancel_soon, args=(house, "many"))
    canceller.start()

    outcomes = prepared.invoke_many(told(LOOPS * 10), token="many")  # noqa: S106

    canceller.join()
    assert [outcome.failure.code for outcome in outcomes if outcome.failure] == [ErrorCode.CANCELLED] * 10
    assert (len(runs.groups), runs.alone) == (1, 0)


def _cancel_soon(house: House, token: str) -> None:
    waiting = threading.Event()
    while not house.guard.cancel(token):
        waiting.wait(0.001)


def test_B5_groups_grow_with_what_calls_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is small; none has more than 64, or more params than a mebibyte."""
    runs = Runs(monkeypatch)
    prepared = House().prepare(ANIMAL)

    prepared.invoke_many(told(GOOD * 300), token="many")  # noqa: S106

    assert runs.groups[0] == together.FIRST_CALLS
    assert max(runs.groups) <= together.MAX_CALLS
    assert sum(runs.groups) == 300


def test_B5_an_entry_point_of_another_type_is_refused() -> None:
    """When the plugin is linked, and when it is inspected."""
    strange = component(name="strange", batch=EACH).replace(
        '(param "args-json" (list string))', '(param "args" (list string))'
    )

    with pytest.raises(Exception, match="call-tool-batch must be"):
        House().prepare(Guest(name="strange", wat=strange))


def test_B5_calls_that_are_not_asked_for_after_all_leave_the_others_together(runs: Runs) -> None:
    """Those of a job that ended meanwhile; a call whose own job is cancelled ends no other one."""
    house = House()
    calls = together.TogetherCalls(house.prepare(ANIMAL), told(TRAPS + GOOD * 63))
    asked = [0, *range(40, 64)]

    outcomes = [calls.invoke(k, token="many") for k in asked]  # noqa: S106

    assert [outcome.success for outcome in outcomes] == [False] + [True] * 24
    assert runs.alone == 1


@pytest.mark.parametrize(
    ("other", "problem", "warning"),
    [
        (ANIMAL, "", ""),
        (LONER, "The manifest says batch_entry_point of run, and the component exports none", ""),
        (guest("unasked", batch=EACH, **_animal()), "", "no tool of the manifest asks for it"),
        (
            guest("metered", together=True, batch=EACH, limits={"fuel": 10_000_000}, **_animal()),
            "",
            "run never uses its batch entry point: fuel is counted for each call",
        ),
    ],
    ids=["fine", "missing", "unasked", "unused"],
)
def test_B5_an_inspection_says_what_a_batch_entry_point_is_worth(
    other: Guest, problem: str, warning: str
) -> None:
    """One that is asked for and not there is a mistake, one that is never used may be."""
    found = inspect_plugin(other.bundle)

    assert [p.message for p in found.problems] == ([problem] if problem else [])
    warnings = [text for text in found.warnings if "batch" in text]
    assert [warning in text for text in warnings] == ([True] if warning else [])
    assert found.batch_entry_point == (other is not LONER)
