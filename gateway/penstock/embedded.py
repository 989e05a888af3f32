"""A real Redis of our own, for one machine: started, kept private, and stopped again.

It is the production path on a smaller scale: append-only, every write on disk before it is answered,
nothing evicted. It listens on a Unix socket in a folder that only its user may enter, so there is no port
to guess and no password to lose. Not for several hosts: those share a Redis that somebody operates.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from penstock.pidlock import PidLock
from penstock.redis_binary import find_redis_server
from penstock.tether import tethered
from penstock_plugins.errors import UnreachableError

#: Seconds until Redis answers at all, and until it has read back a large append-only file.
START_TIMEOUT_S = 10.0
LOADING_TIMEOUT_S = 300.0
#: Seconds in which it ends after SIGTERM; what it answered is on disk already.
STOP_TIMEOUT_S = 10.0
#: A Unix socket's path may have 107 bytes.
_LONGEST_SOCKET_PATH = 100

_CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
daemonize no
"""


class EmbeddedRedis:
    """A Redis server whose files are in one folder. As a context manager it runs inside the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.socket = _socket_path(self.folder)
        self._lock = PidLock(self.folder / "redis.lock", holder=f"The embedded Redis in {self.folder}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, in redis-py's spelling."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process id. None: it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.folder / "redis.log"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            AlreadyRunningError: another process runs one in this folder; names it.
            UnreachableError: there is no Redis binary, or it does not start; says why.
        """
        binary = find_redis_server()
        make_private(self.folder)
        make_private(self.socket.parent)
        self._lock.acquire()
        try:
            self._end_orphan()
            configuration = self.folder / "redis.conf"
            configuration.write_text(
                _CONFIGURATION.format(socket=_quoted(self.socket), folder=_quoted(self.folder))
            )
            with self.log_file.open("wb") as log:
                self._process = subprocess.Popen(
                    tethered([str(binary), str(configuration)]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> int:
        """Wait until the server ends, and say how (its exit status)."""
        return self._process.wait() if self._process is not None else 0

    def stop(self) -> None:
        """Stop the server and give the folder free. Nothing happens when it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._lock.release()

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end_orphan(self) -> None:
        """We hold the lock, so a server that still answers here has lost whoever started it."""
        try:
            with self._client() as client:
                pid = int(client.info("server")["process_id"])
            os.kill(pid, signal.SIGTERM)
        except (redis.RedisError, ProcessLookupError):
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._listens():  # it stops to listen when everything is on disk
            if time.monotonic() > deadline:
                raise UnreachableError(f"A Redis left behind does not end: kill {pid}, and start again")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _wait_until_it_answers(self) -> None:
        started = time.monotonic()
        while True:
            waited_s = time.monotonic() - started
            if self.pid is None:
                raise UnreachableError(f"Redis did not start: {self._last_words()}")
            try:
                with self._client() as client:
                    client.ping()
            except redis.BusyLoadingError as error:
                if waited_s > LOADING_TIMEOUT_S:
                    raise UnreachableError(f"Redis still reads {self.folder} back: try again") from error
            except redis.RedisError as error:
                if waited_s > START_TIMEOUT_S:
                    raise UnreachableError(f"Redis does not answer: {self._last_words()}") from error
            else:
                return
            time.sleep(0.01)

    def _client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (see {self.log_file})"


def _socket_path(folder: Path) -> Path:
    """In the folder, or, where that path is too long for a socket, in a private one with a short path."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}" / "redis.sock"


def make_private(folder: Path) -> None:
    """Make the folder ours alone: who enters it can talk to Redis."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if status.st_uid != os.getuid() or folder.is_symlink():
        raise UnreachableError(f"{folder} belongs to somebody else: choose another state folder")
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _quoted(path: Path) -> str:
    """A path as redis.conf reads it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
