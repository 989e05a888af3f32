"""Native code from the worker's parent to its pool processes, over its private socket."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_plugins.errors import ArtifactError, CatalogError, CompileError
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.record import PluginRecord
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.artifacts.client import ArtifactClient
from penstock_workers.artifacts.memfd import new_memfd, sealed_bytes
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.artifacts.socket_folder import PREFIX, SOCKET_NAME
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.artifacts.wire import receive, send
from penstock_workers.engine import METERED, PLAIN, EngineSettings
from penstock_workers.known import know
from tests.support.waiting import wait_until

#: Begins like a component, and goes on like none.
BROKEN = b"\0asm\x0d\0\x01\0" + b"\xff" * 40

Publish = Callable[..., PluginRecord]

#: A worker's parent: prepares what the catalog has, and says whether wasmtime was loaded for it.
PARENT = """
import sys
from pathlib import Path
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.artifacts.store import ArtifactStore
catalog = FolderCatalog(Path(sys.argv[1]))
with ArtifactServer(catalog, ArtifactStore(Path(sys.argv[2]))) as server:
    print(len(server.prepare_all(catalog.records()).ready), "wasmtime" in sys.modules)
"""

#: A worker's parent that forks while its server's threads run, as a prefork pool does. The children drop
#: what is the parent's, ask for the plugin, and run it, one after the other and a second time each.
PREFORK = """
import os, sys
from pathlib import Path
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_workers.artifacts.client import ArtifactClient
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.artifacts.store import ArtifactStore
catalog = FolderCatalog(Path(sys.argv[1]))
server = ArtifactServer(catalog, ArtifactStore(Path(sys.argv[2])))
path = server.start()
(record,) = catalog.records()
server.prepare_all([record])
def descriptors():
    return sum(os.path.lexists(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
def child():
    server.after_fork_child()
    left = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n not in "012"
            and os.path.lexists(f"/proc/self/fd/{n}")]
    assert not [name for name in left if "penstock" in name or "socket" in name], left
    from penstock_workers.engine import new_engine
    from wasmtime import Store
    from wasmtime.component import Component, Linker
    engine = new_engine()
    for _ in range(2):
        with ArtifactClient(path).open(record.digest) as opened:
            component = Component.deserialize_file(engine, opened.path)
        store = Store(engine)
        store.set_epoch_deadline(1)
        print(Linker(engine).instantiate(store, component).get_func(store, "seven")(store), flush=True)
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
with ArtifactClient(path).open(record.digest) as opened:
    print("parent serves on")
server.stop()
print(os.path.exists(path))
"""

#: Another user who found the socket.
STRANGER = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
print(peer.recv(100))
"""


@pytest.fixture
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where servers make their folders; a socket's path must be short."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def server(catalog: FolderCatalog, store: ArtifactStore, sockets: Path) -> Iterator[ArtifactServer]:
    """A server that runs."""
    with ArtifactServer(catalog, store, folder=sockets) as server:
        yield server


@pytest.fixture
def client(server: ArtifactServer) -> ArtifactClient:
    """A client of that server."""
    return ArtifactClient(server.socket_path, timeout_s=120)


def run(script: str, *arguments: object) -> list[str]:
    """Run a script in a process of its own; what it printed, by lines."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_pool_process_gets_what_was_prepared(
    server: ArtifactServer, client: ArtifactClient, publish: Publish
) -> None:
    """The record, and sealed memory of the size that was said."""
    record = publish()
    server.prepare(record.digest)

    with client.open(record.digest) as opened:
        assert opened.record == record
        assert opened.settings == PLAIN
        assert opened.compiled is False
        assert os.fstat(opened.fd).st_size == opened.size_bytes > 0


def test_a_record_that_is_known_is_not_sent(server: ArtifactServer, publish: Publish) -> None:
    """A pool process has it from its parent, and reads it no second time."""
    record = publish()
    (ready,) = server.prepare_all([record]).ready
    known = know([ready.record])

    with ArtifactClient(server.socket_path, known=known).open(record.digest) as opened:
        assert opened.record is ready.record
        assert opened.record == record


def test_what_is_not_prepared_is_prepared_when_it_is_asked_for(
    client: ArtifactClient, publish: Publish
) -> None:
    """The first one waits for the compile, and is told so."""
    digest = publish().digest

    with client.open(digest) as first, client.open(digest) as second:
        assert (first.compiled, second.compiled) == (True, False)


def test_pool_processes_that_ask_at_once_wait_for_one_compile(
    client: ArtifactClient, publish: Publish
) -> None:
    """As when a pool starts with a plugin that nobody prepared."""
    digest = publish().digest

    def ask(_: int) -> bool:
        with client.open(digest) as opened:
            return opened.compiled

    with ThreadPoolExecutor(16) as threads:
        compiled = list(threads.map(ask, range(32)))

    assert sum(compiled) == 1


@pytest.mark.parametrize("wanted", [None, PLAIN, METERED])
def test_engines_settings_are_asked_for_or_left_to_the_worker(
    client: ArtifactClient, publish: Publish, wanted: EngineSettings | None
) -> None:
    """A plugin whose manifest limits fuel is metered unless somebody says otherwise."""
    digest = publish(limits="fuel = 1000").digest

    with client.open(digest, wanted) as opened:
        assert opened.settings == (wanted or METERED)


def test_an_unknown_plugin_is_the_catalogs_error(client: ArtifactClient) -> None:
    """With its words, as if the catalog had been asked here."""
    with pytest.raises(CatalogError, match="no plugin with digest abababababab"):
        client.open("ab" * 32)
    with pytest.raises(CatalogError, match="is no digest"):
        client.open("../../etc/passwd")


def test_a_plugin_that_does_not_compile_is_a_compile_error(client: ArtifactClient, publish: Publish) -> None:
    """With wasmtime's words."""
    with pytest.raises(CompileError, match="Failed to compile WASM module: "):
        client.open(publish(wasm=BROKEN).digest)


def test_trouble_of_the_parent_arrives_in_words(
    catalog: FolderCatalog, store: ArtifactStore, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody thought of does not look like a lost connection."""

    def fetch(digest: str) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(catalog, "fetch", fetch)
    monkeypatch.setattr(catalog, "verified_record", fetch)
    with (
        ArtifactServer(catalog, store, folder=sockets) as server,
        pytest.raises(ArtifactError, match="RuntimeError: out of luck"),
    ):
        ArtifactClient(server.socket_path).open("ab" * 32)


def test_a_pool_process_of_another_version_is_told_so(server: ArtifactServer) -> None:
    """An upgrade under a running worker must not load code for other settings."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(server.socket_path))
        send(peer, {"digest": "ab" * 32, "engine": "plain-of-last-year"})
        answer, fd = receive(peer, max_bytes=10_000, timeout_s=30)

    assert "restart the worker" in answer["message"]
    assert fd is None


@pytest.mark.parametrize(
    "said", [b"", b"\0", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\4nope", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_nonsense_does_not_disturb_the_server(
    server: ArtifactServer, client: ArtifactClient, publish: Publish, said: bytes
) -> None:
    """It hangs up, and serves the next one."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(server.socket_path))
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # what it did not read is lost
            assert peer.recv(100) == b""

    client.open(publish().digest).close()


def test_many_who_say_nothing_do_not_keep_others_from_being_served(
    server: ArtifactServer, client: ArtifactClient, publish: Publish
) -> None:
    """Each has a place of its own, and there are more than a pool has processes."""
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for peer in silent:
        peer.connect(str(server.socket_path))

    client.open(publish().digest).close()

    for peer in silent:
        peer.close()


class Impostor:
    """Answers one request with whatever it is told."""

    def __init__(self, path: Path, answer: dict[str, object], fd: int | None) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._answer, self._fd = answer, fd
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._listener.accept()
        with peer:
            receive(peer, max_bytes=10_000, timeout_s=30)
            send(peer, self._answer, fd=self._fd)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()
        if self._fd is not None:
            os.close(self._fd)


def unsealed() -> int:
    fd = new_memfd("test")
    os.write(fd, b"native code")
    return fd


def a_file() -> int:
    return os.open(sys.executable, os.O_RDONLY)


def sealed() -> int:
    return sealed_bytes("test", b"native code")


@pytest.mark.parametrize(
    ("memory", "change", "words"),
    [
        (unsealed, {}, "not sealed"),
        (a_file, {}, "not sealed"),
        (None, {}, "without native code"),
        (sealed, {"size_bytes": 12}, "not the one that was asked for"),
        (sealed, {"engine": METERED.fingerprint}, "not the one that was asked for"),
        (sealed, {"engine": "unknown"}, "restart the worker"),
        (sealed, {"record": "{}"}, "record cannot be read"),
        (sealed, {"digest": "another"}, "not the one that was asked for"),
    ],
)
def test_native_code_that_somebody_could_change_is_not_loaded(
    publish: Publish,
    sockets: Path,
    memory: Callable[[], int] | None,
    change: dict[str, object],
    words: str,
) -> None:
    """Nor any that is not what was asked for; the descriptor is closed."""
    record = publish()
    sent = replace(record, digest="cd" * 32) if change.pop("digest", None) else record
    header = {"size_bytes": 11, "engine": PLAIN.fingerprint, "origin": "at hand", "record": sent.to_json()}
    impostor = Impostor(sockets / "impostor", header | change, memory and memory())
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises((ArtifactError, CatalogError), match=words):
        ArtifactClient(sockets / "impostor").open(record.digest, PLAIN)

    impostor.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_parent_that_is_gone_is_an_error_at_once(sockets: Path) -> None:
    """Not a wait."""
    with pytest.raises(ArtifactError, match="does not answer"):
        ArtifactClient(sockets / "nobody").open("ab" * 32)


def test_a_parent_that_goes_meanwhile_is_an_error_at_once(sockets: Path) -> None:
    """The connection ends with it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sockets / "socket"))
        listener.listen()

        def leave() -> None:
            peer, _ = listener.accept()
            peer.close()

        leaving = threading.Thread(target=leave)
        leaving.start()

        with pytest.raises(ArtifactError, match=r"hung up|is gone|does not answer"):
            ArtifactClient(sockets / "socket").open("ab" * 32)

        leaving.join()


def test_nothing_is_left_when_the_server_stops(
    catalog: FolderCatalog, store: ArtifactStore, sockets: Path, publish: Publish
) -> None:
    """No folder, no descriptor, no thread; stopping twice is fine, and it can start again."""
    digest = publish().digest
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    server = ArtifactServer(catalog, store, folder=sockets)
    for _ in range(2):
        ArtifactClient(server.start()).open(digest).close()
        server.stop()
        server.stop()

    assert list(sockets.iterdir()) == []
    wait_until(lambda: threading.active_count() == threads, 30, "the threads have ended")
    wait_until(lambda: len(os.listdir("/proc/self/fd")) == descriptors, 30, "the descriptors are closed")
    with pytest.raises(ArtifactError, match="not started"):
        _ = server.socket_path


def test_only_this_user_may_enter_the_folder(server: ArtifactServer) -> None:
    """The socket is out of reach for others."""
    assert server.socket_path.parent.stat().st_mode & 0o777 == 0o700


def test_another_user_is_not_served(catalog: FolderCatalog, store: ArtifactStore) -> None:
    """Even where somebody opened the folder: the kernel says who asks."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with (
        tempfile.TemporaryDirectory() as folder,
        ArtifactServer(catalog, store, folder=Path(folder)) as server,
    ):
        place = server.socket_path
        place.chmod(0o777)
        place.parent.chmod(0o711)
        place.parent.parent.chmod(0o711)

        stranger = subprocess.run(
            ["/usr/bin/env", "python3", "-c", STRANGER, str(place)],
            user=12345,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert stranger.stdout == "b''\n", stranger.stderr


def test_what_a_killed_server_left_behind_is_removed(
    catalog: FolderCatalog, store: ArtifactStore, sockets: Path, server: ArtifactServer
) -> None:
    """Not what a living one uses, nor one that just starts, nor anything else."""
    killed, starting, forgotten, other = (
        sockets / name for name in (f"{PREFIX}killed", f"{PREFIX}starting", f"{PREFIX}forgotten", "other")
    )
    for folder in (killed, starting, forgotten, other):
        folder.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(killed / SOCKET_NAME))
    os.utime(forgotten, (1, 1))

    with ArtifactServer(catalog, store, folder=sockets):
        left = set(sockets.iterdir())

    assert {killed, forgotten}.isdisjoint(left)
    assert {starting, other, server.socket_path.parent} <= left


def test_the_parent_never_loads_wasmtime(publish: Publish, tmp_path: Path) -> None:
    """A fork after that would leave the child with an engine that cannot stop a guest."""
    publish()

    assert run(PARENT, tmp_path / "catalog", tmp_path / "artifacts") == ["1 False"]


def test_pool_processes_run_what_their_parent_lends(publish: Publish, tmp_path: Path) -> None:
    """Forked while the server's threads run; they keep nothing that is the parent's, which serves on."""
    publish()

    said = run(PREFORK, tmp_path / "catalog", tmp_path / "artifacts")

    assert said == ["7"] * 6 + ["parent serves on", "False"]


def test_pool_processes_keep_nothing_that_is_on_its_way_to_another(publish: Publish, tmp_path: Path) -> None:
    """One is forked when the one before has got its native code, and the server has not closed it yet."""
    publish()
    late = """
import time
import penstock_workers.artifacts.server as serving
send = serving.send
def send_late(*arguments, **options):
    send(*arguments, **options)
    time.sleep(0.5)
serving.send = send_late
server = ArtifactServer("""

    said = run(
        PREFORK.replace("\nserver = ArtifactServer(", late), tmp_path / "catalog", tmp_path / "artifacts"
    )

    assert said == ["7"] * 6 + ["parent serves on", "False"]


def test_a_shipped_plugin_comes_out_warm(
    server: ArtifactServer, catalog: FolderCatalog, tmp_path: Path
) -> None:
    """From its folder through catalog, server and cache to a linked plugin, in a process of its own."""
    script = """
import sys
from pathlib import Path
from penstock_plugins.bundle import read_bundle
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.tool import Tool
from penstock_workers.artifacts.client import ArtifactClient
from penstock_workers.cache import WarmCache
record = FolderCatalog(Path(sys.argv[2])).publish(
    read_bundle(Path(sys.argv[3])), [Tool(name="slug", plugin="text", version="1.0.0")])
cache = WarmCache(ArtifactClient(sys.argv[1]))
plugin = cache.get(record.digest)
assert cache.get(record.digest) is plugin
print(plugin.name, sorted(plugin.tools), cache.size_bytes == plugin.size_bytes, cache.counters)
"""

    said = run(script, server.socket_path, tmp_path / "catalog", shipped_plugins() / "text")

    assert said == ["text ['slug'] True CacheCounters(compiles=1, loads=1, hits=1, evictions=0)"]
