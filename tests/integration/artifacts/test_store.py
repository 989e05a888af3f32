"""Native code on the disk: what is believed, and what is made again."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from penstock_plugins.errors import ArtifactError, CompileError, ConfigurationError
from penstock_workers.artifacts.identity import ArtifactIdentity, host_cpu, wasmtime_version
from penstock_workers.artifacts.memfd import is_sealed, sealed_bytes
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import PLAIN

IDENTITY = ArtifactIdentity(
    digest="ab" * 32,
    module_sha256="cd" * 32,
    kind="component",
    engine=PLAIN.fingerprint,
    wasmtime=wasmtime_version(),
    cpu=host_cpu(),
)
#: The store does not care what it keeps; it never runs it.
CODE = bytes(range(256)) * 40

#: Waits until all are there, then wants the artifact. Says whether it was the one that compiled.
RACER = """
import json, os, sys
from pathlib import Path
from penstock_workers.artifacts.compiler import compile_wasm
from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.artifacts.store import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
identity = ArtifactIdentity(**json.loads(sys.argv[2]))
wasm = Path(sys.argv[3]).read_bytes()
print("here", flush=True)
sys.stdin.readline()
got = store.obtain(identity, lambda: compile_wasm(wasm))
print(got.compiled, os.fstat(got.fd).st_size)
"""


@dataclass
class Compiler:
    """Makes the native code, and counts how often."""

    code: bytes = CODE
    runs: int = 0
    error: Exception | None = None
    #: The bytes of everything that came out of the store.
    got: list[bytes] = field(default_factory=list)

    def __call__(self) -> int:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return sealed_bytes("test", self.code)

    def ask(self, store: ArtifactStore, identity: ArtifactIdentity = IDENTITY) -> bytes:
        """What the store gives."""
        obtained = store.obtain(identity, self)
        try:
            assert is_sealed(obtained.fd)
            return os.pread(obtained.fd, 10_000_000, 0)
        finally:
            os.close(obtained.fd)


def store_at(folder: Path, *, key: bytes | None = None, max_bytes: int = 10**9) -> ArtifactStore:
    """A store as another process would open it: nothing is remembered from the last one."""
    return ArtifactStore(folder, key=key, max_bytes=max_bytes)


def artifact_in(folder: Path) -> Path:
    """The one artifact in the folder."""
    (artifact,) = folder.glob("*.cwasm")
    return artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the stores of a test are."""
    return tmp_path / "cache" / "artifacts"


@pytest.fixture
def stored(folder: Path) -> Path:
    """The file of an artifact that was compiled and kept."""
    Compiler().ask(store_at(folder))
    return artifact_in(folder)


def test_what_was_compiled_once_is_loaded_afterwards(folder: Path) -> None:
    """By this store and by the next one."""
    compiler = Compiler()
    store = store_at(folder)

    got = [compiler.ask(store), compiler.ask(store), compiler.ask(store_at(folder))]

    assert got == [CODE, CODE, CODE]
    assert compiler.runs == 1


def test_only_this_user_can_read_or_write_it(stored: Path) -> None:
    """Folder, artifact, key and lock, whatever the umask."""
    modes = {path.name.rpartition(".")[2]: path.stat().st_mode & 0o777 for path in stored.parent.iterdir()}

    assert stored.parent.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}


def test_a_flipped_bit_anywhere_is_noticed(stored: Path) -> None:
    """In the header, the authentication, or the native code: it is compiled again, never handed out."""
    whole = stored.read_bytes()
    offsets = sorted({*range(80), *range(80, len(whole), 37), len(whole) - 1})

    for offset in offsets:
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << offset % 8
        stored.write_bytes(damaged)
        compiler = Compiler()

        assert compiler.ask(store_at(stored.parent)) == CODE
        assert compiler.runs == 1, f"byte {offset}"
        assert stored.read_bytes() == whole


@pytest.mark.parametrize("kept", [0, 1, 15, 16, 47, 48, 49, 1000, -1])
def test_a_file_whose_end_is_missing_is_noticed(stored: Path, kept: int) -> None:
    """A disk that was full, a host that lost power, an empty file."""
    stored.write_bytes(stored.read_bytes()[:kept])
    compiler = Compiler()

    assert compiler.ask(store_at(stored.parent)) == CODE
    assert compiler.runs == 1


def test_a_file_that_grew_is_noticed(stored: Path) -> None:
    """The length is part of what is authenticated."""
    stored.write_bytes(stored.read_bytes() + b"\0")
    compiler = Compiler()

    compiler.ask(store_at(stored.parent))

    assert compiler.runs == 1


def test_an_artifact_of_another_key_is_not_believed(stored: Path, tmp_path: Path) -> None:
    """Somebody else's artifact under our name is somebody else's code."""
    other = tmp_path / "other"
    Compiler(code=b"their code").ask(store_at(other))
    shutil.copyfile(artifact_in(other), stored)
    compiler = Compiler()

    assert compiler.ask(store_at(stored.parent)) == CODE
    assert compiler.runs == 1


@pytest.mark.parametrize("change", ["digest", "module_sha256", "kind", "engine", "wasmtime", "cpu"])
def test_an_artifact_does_not_pass_for_another(stored: Path, change: str) -> None:
    """Of another plugin, wasmtime, engine or machine: our own key does not make it fit."""
    other = replace(IDENTITY, **{change: "another"})
    compiler = Compiler(code=b"code of another")
    compiler.ask(store_at(stored.parent), other)
    (others,) = [path for path in stored.parent.glob("*.cwasm") if path != stored]
    shutil.copyfile(others, stored)

    got = Compiler()
    assert got.ask(store_at(stored.parent)) == CODE

    assert compiler.runs == 1
    assert got.runs == 1


def as_symlink(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def as_hard_link(path: Path) -> None:
    os.link(path, path.with_name("elsewhere"))


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def readable_by_others(path: Path) -> None:
    path.chmod(0o644)


def writable_by_the_group(path: Path) -> None:
    path.chmod(0o620)


def of_somebody_else(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)


UNBELIEVABLE = [
    as_symlink,
    as_hard_link,
    as_fifo,
    readable_by_others,
    writable_by_the_group,
    of_somebody_else,
]


@pytest.mark.parametrize("disguise", UNBELIEVABLE)
def test_a_file_that_others_may_have_written_is_not_read(
    stored: Path, disguise: Callable[[Path], None]
) -> None:
    """Even when its bytes are right. It is replaced by one of our own."""
    disguise(stored)
    compiler = Compiler()

    assert compiler.ask(store_at(stored.parent)) == CODE
    assert compiler.runs == 1
    assert Compiler().ask(store_at(stored.parent)) == CODE
    assert stored.lstat().st_mode & 0o777777 == 0o100600
    assert stored.lstat().st_uid == os.geteuid()


def test_a_folder_in_its_place_is_not_fatal(stored: Path) -> None:
    """It cannot be replaced, so that each start compiles."""
    stored.unlink()
    stored.mkdir()
    compiler = Compiler()

    assert compiler.ask(store_at(stored.parent)) == CODE
    assert compiler.runs == 1


@pytest.mark.parametrize("disguise", UNBELIEVABLE)
def test_a_key_that_others_may_know_is_not_used(stored: Path, disguise: Callable[[Path], None]) -> None:
    """Nor is what was authenticated with it: a new key is made, and everything is compiled again."""
    key = stored.with_name("key")
    before = key.read_bytes()
    disguise(key)
    compiler = Compiler()

    assert compiler.ask(store_at(stored.parent)) == CODE

    assert compiler.runs == 1
    assert key.read_bytes() != before
    assert key.lstat().st_mode & 0o777777 == 0o100600


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_damaged_key_is_replaced(stored: Path, content: bytes) -> None:
    """A key has 32 bytes."""
    stored.with_name("key").write_bytes(content)
    compiler = Compiler()

    compiler.ask(store_at(stored.parent))

    assert compiler.runs == 1
    assert len(stored.with_name("key").read_bytes()) == 32


def test_stores_with_different_keys_share_a_folder_without_trust(folder: Path) -> None:
    """Neither believes the other's artifacts, and neither overwrites them."""
    ours, theirs = Compiler(code=b"ours"), Compiler(code=b"theirs")

    for _ in range(2):
        assert ours.ask(store_at(folder, key=b"o" * 32)) == b"ours"
        assert theirs.ask(store_at(folder, key=b"t" * 32)) == b"theirs"

    assert (ours.runs, theirs.runs) == (1, 1)
    assert not (folder / "key").exists()


def test_a_key_of_another_length_is_refused(folder: Path) -> None:
    """A short key is a mistake, not a weak key."""
    with pytest.raises(ConfigurationError, match="32 bytes, not 5"):
        store_at(folder, key=b"short")


def test_a_folder_that_was_open_is_closed(stored: Path) -> None:
    """What is in it is still only believed file by file."""
    stored.parent.chmod(0o777)
    compiler = Compiler()

    compiler.ask(store_at(stored.parent))

    assert stored.parent.stat().st_mode & 0o777 == 0o700
    assert compiler.runs == 0


def test_the_folder_of_another_user_is_refused(folder: Path) -> None:
    """Who owns the folder chooses what is in it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder.mkdir(parents=True)
    os.chown(folder, 12345, -1)

    with pytest.raises(ConfigurationError, match="belongs to user 12345"):
        Compiler().ask(store_at(folder))


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/tmp")])  # noqa: S108
def test_what_is_no_folder_is_refused(folder: Path, make: Callable[[Path], None]) -> None:
    """A file or a symbolic link in its place is a setting to correct."""
    folder.parent.mkdir(parents=True)
    make(folder)

    with pytest.raises(ConfigurationError, match="no folder that can be used"):
        Compiler().ask(store_at(folder))


def test_a_folder_that_is_removed_meanwhile_is_made_again(folder: Path) -> None:
    """Caches are deleted."""
    store, compiler = store_at(folder), Compiler()
    compiler.ask(store)
    shutil.rmtree(folder)

    assert compiler.ask(store) == CODE
    assert compiler.ask(store) == CODE
    assert compiler.runs == 2


def test_a_compile_error_leaves_nothing_behind(folder: Path) -> None:
    """No file, and no lock that the next try would wait for."""
    compiler = Compiler(error=CompileError("no such instruction"))
    store = store_at(folder)

    for _ in range(2):
        with pytest.raises(CompileError, match="no such instruction"):
            compiler.ask(store)

    assert compiler.runs == 2
    assert not list(folder.glob("*.cwasm"))


def test_a_full_disk_costs_a_compile_at_the_next_start_and_nothing_now(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither key nor artifact can be kept, nothing half-written stays, and the code is served."""

    def full(fd: int, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    compiler = Compiler()
    with monkeypatch.context() as disk:
        disk.setattr("penstock_workers.artifacts.host_key._write", full)
        disk.setattr("penstock_workers.artifacts.store.copy_file", full)
        store = store_at(folder)
        assert compiler.ask(store) == CODE
    kept = {path.suffix for path in folder.iterdir()}

    assert compiler.ask(store_at(folder)) == CODE
    assert compiler.runs == 2
    assert kept == {".lock"}


def test_what_was_not_used_for_longest_is_removed_to_make_room(folder: Path) -> None:
    """Use counts, not age; the newest stays."""
    old, used, new = (replace(IDENTITY, digest=f"{name:>064}") for name in ("01", "02", "03"))
    store = store_at(folder, max_bytes=2 * (len(CODE) + 48))
    for identity in (old, used):
        Compiler().ask(store, identity)
    for path in folder.glob("*.cwasm"):
        os.utime(path, (1, 1))
    Compiler().ask(store, used)

    Compiler().ask(store, new)

    kept, gone = Compiler(), Compiler()
    kept.ask(store, used)
    kept.ask(store, new)
    gone.ask(store, old)
    assert (kept.runs, gone.runs) == (0, 1)


def test_what_a_killed_process_left_unfinished_is_removed(stored: Path) -> None:
    """After an hour: before that somebody may still be writing it."""
    abandoned, unfinished = (stored.with_name(f".unfinished-{name}") for name in ("a", "b"))
    abandoned.touch()
    unfinished.touch()
    os.utime(abandoned, (1, 1))

    store_at(stored.parent).prune()

    assert not abandoned.exists()
    assert unfinished.exists()
    assert stored.exists()


def test_threads_of_one_process_compile_once(folder: Path) -> None:
    """The lock keeps them apart as it does processes, also when each has its own store."""
    compiler = Compiler()
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        compiler.got.append(compiler.ask(store_at(folder)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert compiler.runs == 1
    assert compiler.got == [CODE] * 8


def test_eight_processes_compile_once(folder: Path, tmp_path: Path, seven: bytes) -> None:
    """All at once, with neither folder nor key: one makes the key, one compiles, all have the same code."""
    module = tmp_path / "seven.wasm"
    module.write_bytes(seven)
    arguments = [str(folder), json.dumps(asdict(IDENTITY)), str(module)]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "here\n"

    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=120)[0].split() for racer in racers]

    assert sorted(compiled for compiled, _ in said) == ["False"] * 7 + ["True"]
    assert len({size for _, size in said}) == 1


def test_a_waiting_process_gives_up_in_words(folder: Path) -> None:
    """When the other one holds the lock for longer than any compile may take."""
    compiling, done = threading.Event(), threading.Event()

    def slow() -> int:
        compiling.set()
        done.wait(60)
        return sealed_bytes("test", CODE)

    holder = threading.Thread(target=lambda: os.close(store_at(folder).obtain(IDENTITY, slow).fd))
    holder.start()
    compiling.wait(60)

    with pytest.raises(ArtifactError, match="for too long"):
        ArtifactStore(folder, lock_wait_s=0.01).obtain(IDENTITY, Compiler())

    done.set()
    holder.join()


def test_a_forked_child_holds_neither_key_nor_lock(folder: Path) -> None:
    """It is told once, and from then on the store is of no use to it; the parent's goes on."""
    compiler = Compiler()
    store = store_at(folder)
    compiler.ask(store)
    key = store._key._key
    assert key is not None

    store.after_fork_child()

    assert bytes(key) == bytes(32)
    with pytest.raises(ArtifactError, match="forked"):
        compiler.ask(store)
    assert compiler.ask(store_at(folder)) == CODE
    assert compiler.runs == 1
