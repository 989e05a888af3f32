"""`penstock up`: announced, attached to, refused twice, repaired, drained and killed."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from penstock_plugins.shipped import shipped_plugins
from tests.support.command_line import CommandLine, Up
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


def children_of(pid: int) -> dict[str, int]:
    """The process ids of the parts of a running system, by what they are."""
    found = {}
    for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command = ""
        with suppress(FileNotFoundError, ProcessLookupError):  # it may be gone by now
            command = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for part in ("redis-server", "worker", "scheduler"):
            if part in command:
                found[part] = int(name)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def patient_plugin(folder: Path) -> Path:
    """The hostile plugin with a minute's time for each call."""
    shutil.copytree(shipped_plugins() / "hostile", folder)
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("timeout_s = 1.0", "timeout_s = 60.0"))
    return folder


def test_others_attach_to_it_while_it_runs_and_only_then(tmp_path: Path) -> None:
    """I-6: by a file in the state folder; without it exit code 3 and what to do."""
    up = Up("--processes", "1", folder=tmp_path)
    with up:
        announced, called = up.announced, up.cli("call", "slug", "text=Hi")
        status = up.stop()
    after = up.cli("call", "slug", "text=Hi")

    assert announced is not None
    assert announced["pid"] == up.pid
    assert announced["redis_url"] == announced["broker_url"]
    assert called.code == 0
    assert status == 0
    assert up.announced is None
    assert after.code == 3
    assert "run `penstock up`" in after.err


def test_a_second_one_is_refused_and_a_third_finds_the_data(tmp_path: Path) -> None:
    """It names the process that runs; what was kept is there after Ctrl-C and a new start."""
    up = Up("--processes", "1", folder=tmp_path)
    with up:
        second = up.cli("up")
        first_job = up.cli("call", "slug", "text=Hi", "--json").json["call_id"].partition(".")[0]
        up.signal(signal.SIGINT)
        status = up.wait()
    with up:
        shown = up.cli("job", "show", first_job, "--json").json

    assert (second.code, second.out) == (2, "")
    assert "`penstock up` runs already, as process" in second.err
    assert status == 130
    assert shown["state"] == "succeeded"


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    """A worker, the scheduler, Redis: calls go on, nothing is lost."""
    with Up("--processes", "1", folder=tmp_path) as up:
        before = children_of(up.pid)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: (
                (now := children_of(up.pid)).keys() == before.keys()
                and not set(now.values()) & {*before.values()}
            ),
            60,
            "all parts run again",
        )
        done = up.cli("call", "slug", "text=Hi")

    assert before.keys() == {"redis-server", "worker", "scheduler"}
    assert done.code == 0


def test_nothing_outlives_it_when_it_is_killed(tmp_path: Path) -> None:
    """And the next one starts as if nothing had been."""
    up = Up("--processes", "1", folder=tmp_path)
    with up:
        parts = children_of(up.pid).values()
        up.signal(signal.SIGKILL)
        up.wait()
        orphaned = up.cli("call", "slug", "text=Hi")
        wait_until(lambda: not any(map(alive, parts)), 60, "its parts have ended")
    with up:
        done = up.cli("call", "slug", "text=Hi")

    assert orphaned.code == 3
    assert done.code == 0


def test_ctrl_c_drains_and_a_second_one_does_not_wait(tmp_path: Path) -> None:
    """The first waits for the calls that run, the second ends them."""
    plugin = patient_plugin(tmp_path / "hostile")
    with Up("--processes", "1", "--plugins", plugin, folder=tmp_path) as up:
        job = up.cli("call", "hostile.loop", "--detach").out.strip()
        wait_until(
            lambda: up.cli("job", "show", job, "--json").json["state"] == "running", 60, "the call runs"
        )
        up.signal(signal.SIGINT)
        up.wait_for_log("Ctrl-C again ends them now")
        up.signal(signal.SIGINT)
        status = up.wait()

    assert status == 130


def test_a_setting_that_nobody_could_use_is_refused_at_once(tmp_path: Path) -> None:
    """Before anything is started."""
    settings = {"PENSTOCK_STATE_DIR": str(tmp_path / "state"), "PENSTOCK_SIGNING_KEY": "too short"}

    done = CommandLine(tmp_path, settings)("up")

    assert (done.code, done.out) == (2, "")
    assert "shorter than 16 bytes" in done.err


def test_a_part_that_refuses_to_start_ends_it(tmp_path: Path, durable_redis: RedisServer) -> None:
    """A Redis that evicts is refused by every part; starting them again would not help."""
    with durable_redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    settings = {"PENSTOCK_STATE_DIR": str(tmp_path / "state"), "PENSTOCK_REDIS_URL": durable_redis.url}

    done = CommandLine(tmp_path, settings)("up")

    assert done.code == 2
    assert "evicts keys (maxmemory-policy allkeys-lru)" in done.out
    assert "cannot run as it is configured" in done.out


def test_a_configured_redis_is_used_instead_of_ours(tmp_path: Path, redis_server: RedisServer) -> None:
    """Then `up` runs the scheduler and the workers only."""
    url = redis_server.url
    with Up("--processes", "1", folder=tmp_path, PENSTOCK_REDIS_URL=url) as up:
        parts, announced = children_of(up.pid), up.announced
        done = up.cli("call", "slug", "text=Hi")

    assert parts.keys() == {"worker", "scheduler"}
    assert announced is not None
    assert announced["redis_url"] == url
    assert done.code == 0


def test_a_rabbitmq_that_is_configured_rings_and_our_redis_keeps(
    tmp_path: Path, rabbit_server: RabbitServer
) -> None:
    """By its URL alone: the broker is RabbitMQ, state and results are in a Redis of our own."""
    url = rabbit_server.url(rabbit_server.new_vhost())
    with Up("--processes", "1", folder=tmp_path, PENSTOCK_BROKER_URL=url) as up:
        parts, announced = children_of(up.pid), up.announced
        # Somebody else on this machine configures nothing, and finds both.
        done = CommandLine(tmp_path, {"PENSTOCK_STATE_DIR": str(up.state_dir)})("call", "slug", "text=Hi")

    assert "redis-server" in parts
    assert announced is not None
    assert announced["broker_url"] == url
    assert announced["redis_url"].startswith("unix://")
    assert done.code == 0
