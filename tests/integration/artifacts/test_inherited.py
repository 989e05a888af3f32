"""What a worker's parent loads before it forks, and what its children make of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock_plugins.folder_catalog import FolderCatalog
from tests.conformance.guests import GOOD

#: A worker's parent with one plugin at hand, and what a pool process does first.
PARENT = """
import faulthandler, logging, os, sys, threading
from pathlib import Path
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.policy import OperatorPolicy
from penstock_workers import preload
from penstock_workers.artifacts.client import ArtifactClient
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.cache import WarmCache
from penstock_workers.engine import engines_made, new_engine
from penstock_workers.executor import Executor
from penstock_workers.guard import CallGuard
from penstock_workers.inherited import InheritedPlugins
from penstock_workers.linking import PluginLinker
from penstock_workers.refusals import refuse_wasmtime_before_fork
logging.basicConfig(stream=sys.stdout, format="%(message)s")
catalog = FolderCatalog(Path(sys.argv[1]))
server = ArtifactServer(catalog, ArtifactStore(Path(sys.argv[2])))
path = server.start()
records = catalog.records()
server.prepare_all(records)
warm = [record.digest for record in records]
threads = lambda: frozenset(os.listdir("/proc/self/task"))
inherited = InheritedPlugins()
preload.before_fork()

def child():
    inherited_ones = [digest for digest in warm if inherited.get(digest)]
    server.after_fork_child()
    refuse_wasmtime_before_fork(engines_made() - inherited.engines)
    if not faulthandler.is_enabled():
        faulthandler.enable()
    cache = WarmCache(ArtifactClient(path), link=(inherited.linker or PluginLinker()).link)
    for digest in inherited_ones:
        cache.adopt(inherited.get(digest))
    inherited.hand_over()
    executor = Executor(cache, operator_policy=lambda _: OperatorPolicy(), guard=CallGuard(grace_s=20))
    outcome = executor.prepare(warm[0], "run").invoke(b'{"say":"hi"}', token="1")
    assert outcome.failure is None, outcome
    print("inherited", len(inherited_ones), "loaded", cache.counters.loads, "bytes", cache.size_bytes > 0)

def fork():
    inherited.before_fork(server)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            sys.stdout.flush()
            status = 0
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        finally:
            os._exit(status)
    print("child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A catalog with one good plugin."""
    FolderCatalog(tmp_path / "catalog").publish(GOOD.bundle, GOOD.tools)
    return tmp_path / "catalog"


def told_by(program: str, catalog: Path) -> list[str]:
    """The lines that such a parent and its children print; it must end well."""
    argv = [sys.executable, "-c", PARENT + program, str(catalog), str(catalog.parent / "artifacts")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_processes_run_what_their_parent_loaded_and_the_parent_has_no_thread_of_it(catalog: Path) -> None:
    """One child after the other, and neither loads anything; the parent ends as ever."""
    told = told_by(
        """
before = threads()
inherited.load(warm, server)
print("threads", len(threads() - before), "faulthandler", faulthandler.is_enabled())
fork()
fork()
inherited.close()
server.stop()
""",
        catalog,
    )

    child = ["inherited 1 loaded 0 bytes True", "child ended with 0"]
    assert told == ["threads 0 faulthandler True", *child, *child]


def test_a_thread_that_came_meanwhile_makes_each_process_load_for_itself(catalog: Path) -> None:
    """A warning says so; calls go on, with engines that are made after the fork."""
    told = told_by(
        """
def digests():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    yield from warm
inherited.load(digests(), server)
fork()
""",
        catalog,
    )

    assert told[0].startswith("Pool processes take more memory: ")
    assert "there is now thread " in told[0]
    assert told[1:] == ["inherited 0 loaded 1 bytes True", "child ended with 0"]


def test_memory_that_parent_and_child_could_both_write_to_is_not_inherited(catalog: Path) -> None:
    """As where a library keeps its callbacks in a file that it maps."""
    told = told_by(
        """
import mmap
def digests():
    globals()["shared"] = mmap.mmap(-1, 4096)
    yield from warm
inherited.load(digests(), server)
fork()
""",
        catalog,
    )

    assert "there is now shared memory at " in told[0]
    assert told[1:] == ["inherited 0 loaded 1 bytes True", "child ended with 0"]


def test_a_failure_of_any_kind_makes_each_process_load_for_itself(catalog: Path) -> None:
    """Whatever was loaded until then is dropped."""
    told = told_by(
        """
def digests():
    yield from warm
    raise MemoryError("no more")
inherited.load(digests(), server)
fork()
""",
        catalog,
    )

    assert "MemoryError: no more" in told[0]
    assert told[1:] == ["inherited 0 loaded 1 bytes True", "child ended with 0"]


def test_S3_an_engine_of_somebody_else_is_still_refused(catalog: Path) -> None:
    """Made before or after ours: its deadlines would never fire."""
    before = told_by("engine = new_engine()\ninherited.load(warm, server)\nfork()", catalog)
    after = told_by("inherited.load(warm, server)\nengine = new_engine()\nfork()", catalog)

    for told in (before, after):
        assert told[0].startswith("UnsafeStartError A wasmtime engine was made before")
        assert told[1:] == ["child ended with 1"]


def test_P7_what_the_parent_no_longer_has_is_not_served_to_new_processes(catalog: Path) -> None:
    """Its plugin was removed from the catalog."""
    told = told_by(
        """
inherited.load(warm, server)
inherited.before_fork(server)
print(inherited.get(warm[0]) is not None)
catalog.remove("good", "1.0.0")
server.refresh()
inherited.before_fork(server)
print(inherited.get(warm[0]) is None)
""",
        catalog,
    )

    assert told == ["True", "True"]


def test_the_public_path_loads_nothing_before_the_fork(catalog: Path) -> None:
    """No engine is made for it."""
    told = told_by('inherited.load(warm, server, path="public")\nprint(engines_made())\nfork()', catalog)

    assert told == ["0", "inherited 0 loaded 1 bytes True", "child ended with 0"]
