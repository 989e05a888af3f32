"""The sandbox with no queue around it: what a worker's rate is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson

from benchmarks.system import System
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.store import connect_store
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.cache import WarmCache
from penstock_workers.executor import Executor
from penstock_workers.guard import CallGuard


@contextmanager
def text_slug(system: System) -> Iterator[Callable[[str], bytes]]:
    """`text.slug` by the executor that pool processes have, JSON on both ends included."""
    with connect_store(system.settings) as client:
        catalog = RedisCatalog(client, system.settings.keys)
        digest = next(record.digest for record in catalog.records() if record.name == "text")
        source = LocalArtifacts(catalog, ArtifactStore(system.cache_dir / "artifacts"))
        executor = Executor(
            WarmCache(source), operator_policy=system.settings.operator_policy, guard=CallGuard()
        )
        prepared = executor.prepare(digest, "slug")

        def slug(text: str) -> bytes:
            outcome = prepared.invoke(orjson.dumps({"text": text}), token="bench")  # noqa: S106  # names the call
            if outcome.failure is not None:
                raise RuntimeError(outcome.failure.message)
            return outcome.to_record()

        yield slug
        source.close()
