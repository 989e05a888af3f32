"""Celery's results and chords on a real Redis: ours are the ledger's, a user's own are Celery's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
import redis
from celery import Celery

from penstock_broker_config.app import create_app
from penstock_broker_config.canvas import chain_from, chord_id, fan_canvas, step_id
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.ledger import FlowStep, Overdue
from penstock_broker_config.result_backend import StepBackend
from penstock_broker_config.settings import Settings

FLOW = "0123456789abcdefghjk/0"
QUEUE = "penstock:penstock.default"


@pytest.fixture
def client(redis_server: Any) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which is empty."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def app(redis_server: Any, client: redis.Redis) -> Celery:
    """An app on the test's Redis."""
    return create_app(Settings(redis_url=redis_server.url))


def step(stage: str, queue: str = "penstock.default") -> FlowStep:
    """A stage."""
    return FlowStep(stage=stage, queue=queue, label="text.stats")


def sent(client: redis.Redis, queue: str = QUEUE) -> list[tuple[dict[str, Any], list[Any], dict[str, Any]]]:
    """Headers, arguments and what else is in the body of the messages of a queue, the oldest first."""
    found = []
    for raw in reversed(cast("list[bytes]", client.lrange(queue, 0, -1))):
        message = orjson.loads(raw)
        args, _, embed = orjson.loads(base64.b64decode(message["body"]))
        found.append((message["headers"], args, embed))
    return found


def names(client: redis.Redis) -> set[bytes]:
    """Keys that are no queue of kombu's."""
    found = cast("list[bytes]", client.keys("*"))
    return {name for name in found if b"_kombu" not in name and not name.startswith(QUEUE.encode())}


def test_L6_a_fan_out_is_sent_as_a_chord_and_writes_no_key(app: Celery, client: redis.Redis) -> None:
    """Each member has its own message and a copy of the body, and nobody listens for its result."""
    fan_canvas(app, FLOW, "3", [([step("0"), step("1")], 1)] * 20, step("4"), items=2).apply_async()

    messages = sent(client)
    assert [headers["id"] for headers, _, _ in messages] == [f"{FLOW}/3.{k}:0" for k in range(20)]
    assert {headers["root_id"] for headers, _, _ in messages} == {"0123456789abcdefghjk"}
    last = messages[0][2]["chain"][0]["options"]
    assert last["group_id"] == chord_id(FLOW, "3")
    assert last["chord"]["options"]["task_id"] == step_id(FLOW, "4")
    assert names(client) == set()
    assert cast("Any", client.pubsub_channels("*celery*")) == []


def test_L6_the_body_is_sent_when_the_ledger_says_so(app: Celery, client: redis.Redis) -> None:
    """Not when Celery would count so many: a part that returns twice, or late, changes nothing."""
    backend = cast("StepBackend", app.backend)
    body = chain_from(app, FLOW, [step("4")], items=2)
    group = chord_id(FLOW, "3")

    def returns(number: int, of: str = group) -> None:
        request = SimpleNamespace(
            id=f"{FLOW}/3.{number}:1", group=of, group_index=number, chord=dict(body), root_id="root"
        )
        backend.on_chord_part_return(request, "SUCCESS", None)

    for number in (0, 1, 1, 0):
        returns(number)
    assert sent(client) == []
    backend.say_complete(group)
    returns(0, chord_id(FLOW, "9"))
    assert sent(client) == []
    returns(1)
    returns(1)

    ((headers, args, _),) = sent(client)
    assert (headers["id"], headers["root_id"], headers["parent_id"]) == (f"{FLOW}:4", "root", f"{FLOW}/3.1:1")
    assert args == [FLOW, "4"]
    assert names(client) == set()


def test_L7_a_user_s_results_and_chords_are_celerys(app: Celery, client: redis.Redis) -> None:
    """Under Celery's own names, where a user's app looks for them, with Celery's own bookkeeping."""

    @app.task(name="theirs.add")
    def add(x: int, y: int) -> int:
        return x + y

    app.backend.store_result("8c5b2c32-7d1c-4d21-9a7e-0d4b3f9d3d0e", 3, "SUCCESS")
    assert app.AsyncResult("8c5b2c32-7d1c-4d21-9a7e-0d4b3f9d3d0e").get(timeout=5) == 3
    app.backend.set_chord_size("8c5b2c32-7d1c-4d21-9a7e-0d4b3f9d3d0f", 2)

    assert {name.split(b"-8c5b")[0] for name in names(client)} == {
        b"celery-task-meta",
        b"celery-taskset-meta",
    }


def test_a_doorbell_of_a_flow_is_the_message_of_its_chain(app: Celery, client: redis.Redis) -> None:
    """Whether a producer sends all that is ahead, or a scheduler what is next."""
    chain_from(app, FLOW, [step("0"), step("1"), step("2")], items=2).apply_async()
    ((theirs, args, embed),) = sent(client)
    client.delete(QUEUE)
    doorbell = Doorbell(app)

    doorbell.step(FLOW, [step("0"), step("1"), step("2")], items=2)
    doorbell.ring_again(Overdue(f">{FLOW}", "penstock.default", "text.stats", 2, "1"))
    doorbell.ring_again(Overdue("j.0", "penstock.default", "text.stats", 2))
    doorbell.close()

    (ours, our_args, our_embed), (again, again_args, again_embed), (batch, batch_args, _) = sent(client)
    seen = ("task", "id", "root_id", "shadow", "argsrepr", "ignore_result")
    assert [ours[name] for name in seen] == [theirs[name] for name in seen]
    assert our_args == args
    assert [one["args"] for one in our_embed["chain"]] == [one["args"] for one in embed["chain"]]
    assert (again["id"], again_args, again_embed["chain"]) == (f"{FLOW}:1", [FLOW, "1"], [])
    assert (batch["task"], batch_args) == ("penstock.run", ["j.0"])


def test_a_step_may_go_to_a_pool_that_this_app_does_not_serve(app: Celery, client: redis.Redis) -> None:
    """Its queue is declared when something is sent to it, and never consumed from; others are refused."""
    chain_from(app, FLOW, [step("0", "penstock.pool.gpu")], items=1).apply_async()

    assert len(sent(client, "penstock:penstock.pool.gpu")) == 1
    assert "penstock.pool.gpu" not in app.amqp.queues.consume_from
    with pytest.raises(Exception, match="elsewhere"):
        chain_from(app, FLOW, [step("0", "elsewhere")], items=1).apply_async()
