"""Every script on the oldest Redis that we take, which users have by the `embedded` extra.

Most tests are those of other files, where they run on the machine's own Redis: all that ask for no more than
a ledger or a catalog.
"""

from __future__ import annotations

import hashlib
import inspect

import pytest
import redis

from penstock_broker_config import collector as collecting
from penstock_broker_config import removal as removing
from penstock_broker_config import values as keeping
from penstock_broker_config.canvases import Canvases
from penstock_broker_config.envelope import Signer
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.scripts import LIBRARIES, load_script
from penstock_broker_config.values import RedisValues
from penstock_scheduler import timetable as times
from penstock_scheduler.timetable import Periodic, Timetable
from tests.integration import test_buffers, test_ledger, test_ledger_next, test_removal
from tests.integration.ledger import (
    test_flow_bells,
    test_flow_ends,
    test_flow_fans,
    test_flow_inner_jobs,
    test_flows,
)
from tests.unit.broker_config.test_crash_points import SCRIPTS

KEYS = Keys()
#: Whose tests these are.
MODULES = (
    *(test_ledger, test_ledger_next, test_buffers, test_removal),
    *(test_flows, test_flow_bells, test_flow_ends, test_flow_fans, test_flow_inner_jobs),
)
#: Their tests ask for these, or for what they are parametrised by.
FIXTURES = {
    "ledger",
    "client",
    "catalog",
    "removal",
    "collector",
    "field",
    "value",
    "concurrency",
    "changes",
    "damage",
}
#: Takes as long as all the others.
LEFT_OUT = {"test_L6_a_fan_out_of_ten_thousand"}
AGAIN = {
    name: test
    for module in MODULES
    for name, test in vars(module).items()
    if name.startswith("test_")
    and name not in LEFT_OUT
    and FIXTURES.issuperset(inspect.signature(test).parameters)
}
globals().update(AGAIN)
_ran: set[str] = set()


@pytest.fixture(autouse=True)
def _note(request: pytest.FixtureRequest) -> None:
    _ran.add(request.node.originalname)


def test_a_periodic_submission_is_moved_on_once(client: redis.Redis) -> None:
    """Whoever is first."""
    timetable = Timetable(client, KEYS)
    due_ms = timetable.put(Periodic(name="p", tool="demo.double", every_s=3600))

    moved = [timetable.advance("p", due_ms, due_ms + 3_600_000) for _ in range(2)]

    assert moved == [True, False]
    assert [due for _, due in timetable.entries()] == [due_ms + 3_600_000]


def test_a_large_value_is_what_it_was(client: redis.Redis) -> None:
    """And goes by itself, when no job comes."""
    values = RedisValues(client, KEYS)

    reference = values.put("j", b"x" * 700_000)

    assert values.get("j", reference) == b"x" * 700_000
    assert 0 < client.pttl(KEYS.values("j")) <= keeping.ORPHAN_MS


def test_a_canvas_is_kept_found_and_taken_once(client: redis.Redis) -> None:
    """Until it is settled."""
    canvases = Canvases(client, KEYS, Signer(None))
    canvases.keep("run", {"task": "t"})
    early = canvases.due()
    client.zadd(KEYS.canvases, {"run": 1})  # as if its time had come

    late = canvases.due()
    taken = [canvases.take("run") for _ in range(2)]
    canvases.settle("run")

    assert (early, [run for run, _ in late], taken) == ([], ["run"], [True, False])
    assert client.exists(KEYS.canvases, KEYS.after("run")) == 0


def test_every_script_was_run(client: redis.Redis) -> None:
    """By the tests above: what was never asked for, this Redis does not know."""
    if set(AGAIN) - _ran:
        pytest.skip("only some of these tests were selected")
    names = {file.stem for file in SCRIPTS.glob("*.lua")} - set(LIBRARIES)
    texts = {name: load_script(name) for name in names}
    for module in (removing, collecting, keeping, times):
        texts |= {name: text for name, text in vars(module).items() if "redis.call(" in str(text)}
    digests = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in texts.items()}  # noqa: S324

    known = client.script_exists(*digests.values())

    assert [name for name, there in zip(digests, known, strict=True) if not there] == []
