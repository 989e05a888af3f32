"""Real Flower: each tool is a row of its own, with an argument that people can read and no params."""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import read_bundle
from penstock_plugins.pipelines.builder import Pipeline, tool
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler import Producer
from penstock_workers.inspection import inspect_plugin
from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Process
from tests.support.publishing import publish_shipped
from tests.support.waiting import wait_until

#: Flower's API is closed without one.
USER = "operator:flower-test"


def asked(port: int, path: str) -> dict[str, Any]:
    """What Flower's API answers."""
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/api/{path}",
        headers={"Authorization": "Basic " + base64.b64encode(USER.encode()).decode()},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # our own Flower on loopback
        found: dict[str, Any] = json.load(answer)
    return found


def tasks_of(port: int) -> list[dict[str, Any]]:
    """The rows that Flower shows."""
    return list(asked(port, "tasks").values())


def wait_until_heard(port: int) -> None:
    """Flower hears the worker. It says that it is connected before it listens, and misses what comes then."""

    def heard() -> dict[str, Any]:
        with suppress(urllib.error.URLError):
            return asked(port, "workers?status=1")
        return {}

    wait_until(heard, 60, "Flower hears the worker")


def flower_on(broker: Broker, port: int, folder: Path) -> Process:
    """Flower, not started yet."""
    return Process(
        [
            *(sys.executable, "-m", "celery", "-A", "penstock_broker_config.flower", "flower"),
            *(f"--address={LOOPBACK}", f"--port={port}", f"--basic_auth={USER}"),
        ],
        name="flower",
        folder=folder / "flower",
        environment=broker.environment,
        ready="Connected to",
    )


def test_every_tool_is_a_row_of_its_own_in_flower(broker: Broker, tmp_path: Path) -> None:
    """Named by `shadow`, described by `argsrepr`; a call that fails is red, and no param is shown."""
    with broker.redis.client() as client:
        for name in ("text", "hostile"):
            bundle = read_bundle(shipped_plugins() / name)
            RedisCatalog(client, Keys()).publish(bundle, inspect_plugin(bundle).tools)
    port = free_port()
    flower = flower_on(broker, port, tmp_path)
    with flower, Worker(broker=broker, folder=tmp_path / "w1"):
        wait_until_heard(port)
        with Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
            producer.submit("text.slug", {"text": "a secret"}).result(wait_s=30)
            producer.map("text.stats", ({"text": f"secret {n}"} for n in range(10))).result(wait_s=30)
            producer.submit("hostile.trap", {}).result(wait_s=30)

        def all_ended() -> list[dict[str, Any]]:
            rows = tasks_of(port)
            ended = [row for row in rows if row["runtime"] or row["failed"]]
            return rows if rows == ended and {row["name"] for row in rows} == names else []

        names = {"text.slug", "text.stats", "hostile.trap"}
        rows = wait_until(all_ended, 30, lambda: f"Flower has seen the tasks' ends: {tasks_of(port)}")

    states = {row["name"]: row["state"] for row in rows}
    assert states == {"text.slug": "SUCCESS", "text.stats": "SUCCESS", "hostile.trap": "FAILURE"}
    assert any("'text.slug', 1 call, batch " in row["args"] for row in rows)
    assert "secret" not in json.dumps(rows)


def test_L6_every_step_of_a_run_is_a_row_with_its_root_and_parent(broker: Broker, tmp_path: Path) -> None:
    """Under its tool's name; of a fan-out, members come from the step that sent them."""
    publish_shipped(broker.redis, "text")
    port = free_port()
    pipeline = (
        Pipeline("line")
        .pipe("text.slug", params={"text": "{{data.text}}"})
        .parallel(a=tool("text.stats", params={"text": "{{data.slug}}"}))
    )
    worker = Worker(broker=broker, folder=tmp_path / "w1")
    with flower_on(broker, port, tmp_path), worker, Scheduler(broker=broker, folder=tmp_path / "s"):
        wait_until_heard(port)
        with Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
            run = producer.submit(pipeline, {"text": "a b"}, fuse=False)
            assert run.result(wait_s=60).data["a"]["words"] == 1

        rows = wait_until(
            lambda: rows if len(rows := {row["name"]: row for row in tasks_of(port)}) >= 4 else {},
            30,
            "Flower has seen the steps",
        )

    assert set(rows) == {"text.slug", "line:parallel", "text.stats", "line:gather"}
    assert {row["root_id"] for row in rows.values()} == {run.id}
    assert rows["line:parallel"]["parent_id"] == rows["text.slug"]["uuid"]
    assert rows["text.stats"]["parent_id"] == rows["line:parallel"]["uuid"]
