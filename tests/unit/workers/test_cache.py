"""The cache of linked plugins: what it keeps, what it lets go, what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from penstock_plugins.errors import CatalogError
from penstock_plugins.record import PluginRecord
from penstock_workers.artifacts.memfd import sealed_bytes
from penstock_workers.artifacts.source import OpenedArtifact, Origin
from penstock_workers.cache import CacheCounters, WarmCache
from penstock_workers.engine import METERED, PLAIN, EngineSettings


@dataclass
class Source:
    """Gives every digest an artifact of the size that it is told."""

    sizes: dict[str, int]
    #: Digests whose plugins are prepared for engines that count instructions.
    metered: set[str] = field(default_factory=set)
    opened: list[OpenedArtifact] = field(default_factory=list)

    def open(self, digest: str, settings: EngineSettings | None = None) -> OpenedArtifact:
        if digest not in self.sizes:
            raise CatalogError(f"no bundle {digest}")
        own = METERED if digest in self.metered else PLAIN
        first = all(cast(str, before.record) != digest for before in self.opened)
        self.opened.append(
            OpenedArtifact(
                fd=sealed_bytes("test", bytes(self.sizes[digest])),
                size_bytes=self.sizes[digest],
                settings=settings or own,
                record=cast(PluginRecord, digest),  # the cache only hands it on
                origin=Origin.COMPILED if first else Origin.MEMORY,
            )
        )
        return self.opened[-1]


def cache_of(source: Source, *, max_bytes: int = 100) -> WarmCache:
    """A cache whose plugins are tuples that say what they were linked from."""

    def link(opened: OpenedArtifact) -> Any:
        with open(opened.path, "rb") as code:
            assert len(code.read()) == opened.size_bytes
        return (opened.record, opened.settings.fuel, len(source.opened))

    return WarmCache(source, max_bytes=max_bytes, link=link)


def test_a_plugin_is_loaded_once_and_then_at_hand() -> None:
    """The second time the very same plugin comes back."""
    cache = cache_of(Source({"a": 10}))

    first = cache.get("a")
    second = cache.get("a")

    assert first is second
    assert cache.counters == CacheCounters(compiles=1, loads=1, hits=1, evictions=0)
    assert cache.size_bytes == 10


def test_the_one_that_was_not_used_for_longest_goes_first() -> None:
    """A hit makes a plugin young again: the order is of use, not of arrival."""
    cache = cache_of(Source({"a": 40, "b": 40, "c": 40}))
    cache.get("a")
    cache.get("b")
    cache.get("a")

    cache.get("c")

    assert cache.digests == ("a", "c")
    assert cache.size_bytes == 80
    assert cache.counters.evictions == 1


def test_room_is_counted_in_bytes_and_not_in_plugins() -> None:
    """One large plugin takes the place of several small ones."""
    cache = cache_of(Source({"a": 30, "b": 30, "c": 30, "large": 90}))
    for digest in "abc":
        cache.get(digest)

    cache.get("large")

    assert cache.digests == ("large",)
    assert cache.counters.evictions == 3


def test_what_is_larger_than_the_cache_is_served_all_the_same() -> None:
    """It is what the next call needs; it goes when another comes."""
    cache = cache_of(Source({"huge": 1000, "a": 10}))

    cache.get("huge")
    held_alone = cache.digests
    cache.get("a")

    assert held_alone == ("huge",)
    assert cache.digests == ("a",)
    assert cache.size_bytes == 10


def test_what_is_pinned_is_never_let_go() -> None:
    """The others leave around it, however old it is."""
    cache = cache_of(Source({"pinned": 60, "a": 60, "b": 60}))
    cache.pin(["pinned"])
    cache.get("pinned")

    cache.get("a")
    cache.get("b")

    assert cache.digests == ("pinned", "b")
    assert cache.counters.evictions == 1


def test_what_is_no_longer_pinned_makes_room() -> None:
    """Pinning replaces what was pinned before."""
    cache = cache_of(Source({"a": 60, "b": 60}))
    cache.pin(["a", "b"])
    cache.get("a")
    cache.get("b")

    cache.pin([])

    assert cache.digests == ("b",)
    assert cache.size_bytes == 60


def test_a_plugin_that_is_prepared_as_metered_is_held_once() -> None:
    """Who asks without a word and who insists on counting get the same plugin."""
    cache = cache_of(Source({"a": 10}, metered={"a"}))

    first = cache.get("a")
    second = cache.get("a")
    insisted = cache.get("a", metered=True)

    assert first is second is insisted
    assert cache.counters.loads == 1


def test_the_metered_and_the_plain_form_of_a_plugin_are_two() -> None:
    """They are of two engines, and both count against the room."""
    cache = cache_of(Source({"a": 10}))

    plain: Any = cache.get("a")
    metered: Any = cache.get("a", metered=True)

    assert (plain[1], metered[1]) == (False, True)
    assert cache.get("a") is plain
    assert cache.size_bytes == 20
    assert cache.counters == CacheCounters(compiles=1, loads=2, hits=1, evictions=0)


def test_no_descriptor_is_kept() -> None:
    """The mapping outlives it, and a process has only so many."""
    source = Source({"a": 10, "b": 10})
    cache = cache_of(source)

    cache.get("a")
    cache.get("b")

    assert [opened.fd for opened in source.opened] == [-1, -1]


def test_a_plugin_that_does_not_link_leaves_nothing_behind() -> None:
    """Neither bytes nor a descriptor; the next try starts afresh."""
    source = Source({"a": 10})

    def link(opened: OpenedArtifact) -> Any:
        raise ValueError("does not link")

    cache = WarmCache(source, max_bytes=100, link=link)

    with pytest.raises(ValueError, match="does not link"):
        cache.get("a")

    assert cache.digests == ()
    assert cache.size_bytes == 0
    assert cache.counters == CacheCounters()
    assert source.opened[0].fd == -1


def test_an_unknown_plugin_is_the_sources_error() -> None:
    """The cache adds nothing to it."""
    cache = cache_of(Source({}))

    with pytest.raises(CatalogError, match="no bundle"):
        cache.get("unknown")
