"""What a worker's parent keeps at hand, and how it follows the catalog."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_plugins.bundle import Bundle
from penstock_plugins.errors import CatalogError, CompileError
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.record import PluginRecord
from penstock_workers.artifacts.compiler import CompileLimits
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.memfd import is_sealed
from penstock_workers.artifacts.shelf import REFUSED_FOR_S, Shelf
from penstock_workers.artifacts.stock import Stock
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import METERED, PLAIN
from tests.support.bundles import publish_composite

#: Begins like a component, and goes on like none.
BROKEN = b"\0asm\x0d\0\x01\0" + b"\xff" * 40

Publish = Callable[..., PluginRecord]


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CountingCatalog(FolderCatalog):
    """A folder catalog that counts what is fetched."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fetched: list[str] = []
        #: Called before each fetch.
        self.before_fetch: Callable[[str], object] = lambda digest: None

    def fetch(self, digest: str) -> Bundle:
        self.fetched.append(digest)
        self.before_fetch(digest)
        return super().fetch(digest)


@pytest.fixture
def catalog(tmp_path: Path) -> CountingCatalog:
    """An empty catalog that counts."""
    return CountingCatalog(tmp_path / "catalog")


def take(shelf: Shelf, digest: str) -> bool:
    """Take it, look at it, give it back; returns whether it was compiled."""
    with shelf.take(digest) as opened:
        assert opened.record.digest == digest
        assert is_sealed(opened.fd)
        assert os.fstat(opened.fd).st_size == opened.size_bytes > 0
        return opened.compiled


def test_a_plugin_is_fetched_and_compiled_once(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """Afterwards it is at hand; each who takes it has a descriptor of his own."""
    digest = publish().digest
    shelf = Shelf(catalog, store)

    first, second = shelf.take(digest), shelf.take(digest)

    assert (first.compiled, second.compiled) == (True, False)
    assert first.fd != second.fd
    assert catalog.fetched == [digest]
    first.close()
    second.close()
    shelf.close()


def test_native_code_on_disk_needs_no_module(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """The next start reads the record and the manifest, and leaves the WebAssembly where it is."""
    digest = publish().digest
    first, next_start = Shelf(catalog, store), Shelf(catalog, store)
    take(first, digest)
    catalog.fetched.clear()

    assert not take(next_start, digest)

    assert catalog.fetched == []
    first.close()
    next_start.close()


def test_P6_native_code_on_disk_is_not_lent_with_a_changed_manifest(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, tmp_path: Path
) -> None:
    """The manifest decides what the plugin may do."""
    digest = publish().digest
    first, next_start = Shelf(catalog, store), Shelf(catalog, store)
    take(first, digest)
    with (tmp_path / "catalog" / digest / "plugin.toml").open("a") as manifest:
        manifest.write("# changed\n")

    with pytest.raises(CatalogError, match="was changed"):
        next_start.take(digest)
    first.close()


def test_many_who_ask_at_once_wait_for_one(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """One of them compiles, and all of them get it."""
    digest = publish().digest
    shelf = Shelf(catalog, store)

    with ThreadPoolExecutor(8) as threads:
        compiled = list(threads.map(lambda _: take(shelf, digest), range(8)))

    assert sorted(compiled) == [False] * 7 + [True]
    assert catalog.fetched == [digest]
    shelf.close()


def test_one_that_takes_long_does_not_hold_up_another(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """Each plugin is waited for by those who want it, and by nobody else."""
    slow, quick = publish("slow").digest, publish("quick").digest
    go_on = threading.Event()
    catalog.before_fetch = lambda digest: digest == slow and go_on.wait(60)
    shelf = Shelf(catalog, store)

    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(take, shelf, slow) for _ in range(2)]
        take(shelf, quick)
        assert not any(future.done() for future in waiting)
        go_on.set()
        assert sorted(future.result() for future in waiting) == [False, True]
    shelf.close()


def test_those_who_wait_get_the_error_too(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """And nobody waits for ever."""
    digest = publish(wasm=BROKEN).digest
    shelf = Shelf(catalog, store)

    def error(_: int) -> str:
        with pytest.raises(CompileError) as caught:
            shelf.take(digest)
        return str(caught.value)

    with ThreadPoolExecutor(4) as threads:
        errors = set(threads.map(error, range(4)))

    assert len(errors) == 1
    assert len(catalog.fetched) == 1


def test_what_does_not_compile_is_refused_for_a_while(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """Calls of it must not keep the host compiling; later it is tried again."""
    digest = publish(wasm=BROKEN).digest
    clock = Clock()
    shelf = Shelf(catalog, store, clock=clock)

    for seconds, fetched in ((0.0, 1), (REFUSED_FOR_S - 1, 1), (2.0, 2)):
        clock.now += seconds
        with pytest.raises(CompileError, match="Failed to compile WASM module"):
            shelf.take(digest)
        assert len(catalog.fetched) == fetched


def test_what_is_not_published_is_not_remembered(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, tmp_path: Path
) -> None:
    """It may be published the next moment."""
    elsewhere = FolderCatalog(tmp_path / "elsewhere")
    record = publish()
    shutil.move(tmp_path / "catalog", tmp_path / "elsewhere")
    shelf = Shelf(catalog, store)
    with pytest.raises(CatalogError, match="no plugin with digest"):
        shelf.take(record.digest)

    catalog.publish(elsewhere.fetch(record.digest), record.tools)

    assert take(shelf, record.digest)
    shelf.close()


def test_limits_hold_for_what_is_published(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """The operator's, not the default ones."""
    digest = publish().digest
    shelf = Shelf(catalog, store, limits=CompileLimits(wasm_bytes=10))

    with pytest.raises(CompileError, match="at most 10 are compiled"):
        shelf.take(digest)


def test_a_plugin_whose_manifest_limits_fuel_is_metered(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """Unless other settings are asked for; they are two artifacts."""
    digest = publish(limits="fuel = 1000").digest
    shelf = Shelf(catalog, store)

    with shelf.take(digest) as suitable, shelf.take(digest, PLAIN) as plain:
        assert (suitable.settings, plain.settings) == (METERED, PLAIN)
        assert suitable.compiled
        assert plain.compiled
        assert os.pread(suitable.fd, 10**7, 0) != os.pread(plain.fd, 10**7, 0)
    shelf.close()


def test_the_operator_may_meter_every_plugin(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """The choice is made from the record."""
    digest = publish().digest
    artifacts = LocalArtifacts(catalog, store, settings_of=lambda record: METERED)

    with artifacts.open(digest) as opened:
        assert opened.settings == METERED
    artifacts.close()


def test_the_manifest_that_is_handed_on_is_the_verified_one(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, tmp_path: Path
) -> None:
    """A record that was changed in the catalog gives a plugin no more than its bundle asks for."""
    record = publish()
    forged = replace(
        record,
        manifest=record.manifest.model_copy(
            update={"wasm": record.manifest.wasm.model_copy(update={"capabilities": ("http", "log")})}
        ),
    )
    (tmp_path / "catalog" / record.digest / "record.json").write_text(forged.to_json())
    assert catalog.record(record.digest).manifest.wasm.capabilities == ("http", "log")
    shelf = Shelf(catalog, store)

    with shelf.take(record.digest) as opened:
        assert opened.record.manifest.wasm.capabilities == ()
    shelf.close()


def test_a_record_of_another_plugin_is_refused(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, tmp_path: Path
) -> None:
    """A digest names one plugin."""
    one, other = publish("one"), publish("other")
    (tmp_path / "catalog" / one.digest / "record.json").write_text(other.to_json())

    with pytest.raises(CatalogError, match="another plugin"):
        Shelf(catalog, store).take(one.digest)


def test_memory_is_bounded_and_what_left_comes_back_from_the_disk(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """The one that was not taken for longest leaves; who has it open keeps it."""
    digests = [publish(name).digest for name in ("one", "two", "three")]
    with Shelf(catalog, store).take(digests[0]) as opened:
        size_bytes = opened.size_bytes
    shelf = Shelf(catalog, store, max_bytes=size_bytes * 5 // 2)
    held = shelf.take(digests[0])
    take(shelf, digests[1])
    take(shelf, digests[0])

    take(shelf, digests[2])

    assert shelf.digests() == {digests[0], digests[2]}
    assert take(shelf, digests[1]) is False
    assert os.fstat(held.fd).st_size == size_bytes
    held.close()
    shelf.close()


def test_a_closed_shelf_holds_no_descriptor(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """Nor does one after preparing, failing and dropping."""
    before = len(os.listdir("/proc/self/fd"))
    good, bad = publish("good").digest, publish("bad", wasm=BROKEN).digest
    shelf = Shelf(catalog, store)
    take(shelf, good)
    with pytest.raises(CompileError):
        take(shelf, bad)

    shelf.close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_preparing_reports_each_plugin(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """One bad plugin does not keep the rest from being served."""
    good, bad, other = publish("good"), publish("bad", wasm=BROKEN), publish("other")
    shelf = Shelf(catalog, store)

    done = Stock(catalog, shelf).prepare_all([good, bad, other])

    assert [(ready.record.name, ready.compiled) for ready in done.ready] == [("good", True), ("other", True)]
    assert all(ready.size_bytes > 0 for ready in done.ready)
    ((failed, error),) = done.failed
    assert failed.name == "bad"
    assert isinstance(error, CompileError)
    shelf.close()


def test_a_composite_has_nothing_to_prepare(catalog: CountingCatalog, store: ArtifactStore) -> None:
    """It is pipelines only: it is neither prepared, nor told of as what cannot be served."""
    publish_composite(catalog)
    shelf = Shelf(catalog, store)

    done = Stock(catalog, shelf).refresh()

    assert (done.ready, done.failed) == ((), ())
    shelf.close()


def test_a_second_worker_on_the_host_only_loads(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, tmp_path: Path
) -> None:
    """What the first one compiled is on the disk."""
    record = publish()
    first = Shelf(catalog, store)
    Stock(catalog, first).prepare_all([record])

    second = Shelf(catalog, ArtifactStore(tmp_path / "artifacts"))
    done = Stock(catalog, second).prepare_all([record])

    assert [ready.compiled for ready in done.ready] == [False]
    first.close()
    second.close()


def test_what_is_published_later_is_prepared_by_a_refresh(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """And by one only; when nothing changed nothing is read but the version."""
    shelf = Shelf(catalog, store)
    stock = Stock(catalog, shelf)
    empty = stock.refresh()
    later = publish("later")

    done = stock.refresh()
    again = stock.refresh()

    assert empty.ready == ()
    assert [ready.record.digest for ready in done.ready] == [later.digest]
    assert (again.ready, again.failed, again.dropped) == ((), (), ())
    assert take(shelf, later.digest) is False
    shelf.close()


def test_what_left_the_catalog_is_dropped_by_a_refresh(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, tmp_path: Path
) -> None:
    """The memory is given back; a process that has it open keeps it."""
    stays, goes = publish("stays"), publish("goes")
    shelf = Shelf(catalog, store)
    stock = Stock(catalog, shelf)
    stock.refresh()
    shutil.rmtree(tmp_path / "catalog" / goes.digest)

    done = stock.refresh()

    assert done.dropped == (goes.digest,)
    assert shelf.digests() == {stays.digest}
    with pytest.raises(CatalogError):
        shelf.take(goes.digest)
    shelf.close()


def test_what_failed_is_tried_again_with_longer_and_longer_waits(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish
) -> None:
    """A host in trouble gets better; a refresh a second must not make it worse."""
    record = publish()
    clock = Clock()

    def trouble(digest: str) -> None:
        raise OSError("no memory")

    catalog.before_fetch = trouble
    shelf = Shelf(catalog, store)
    stock = Stock(catalog, shelf, clock=clock)
    tries = []
    for _ in range(20):
        stock.refresh()
        tries.append(len(catalog.fetched))
        clock.now += 1

    catalog.before_fetch = lambda digest: None
    clock.now += 60
    done = stock.refresh()

    assert tries == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5]
    assert [ready.record.digest for ready in done.ready] == [record.digest]
    shelf.close()


def test_a_round_that_was_broken_off_is_made_again(
    catalog: CountingCatalog, store: ArtifactStore, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog did not answer in its middle: nothing is taken as seen."""
    record = publish()
    shelf = Shelf(catalog, store)
    stock = Stock(catalog, shelf)
    with monkeypatch.context() as broken:
        broken.setattr(catalog, "records", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stock.refresh()

    done = stock.refresh()

    assert [ready.record.digest for ready in done.ready] == [record.digest]
    shelf.close()
