"""Publishing a shipped plugin to a test's Redis, as `penstock plugin publish` does."""

from __future__ import annotations

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import read_bundle
from penstock_plugins.record import PluginRecord
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.inspection import inspect_plugin
from tests.support.redis_server import RedisServer


def publish_shipped(redis: RedisServer, name: str) -> PluginRecord:
    """Publish the shipped plugin of that name."""
    bundle = read_bundle(shipped_plugins() / name)
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    with redis.client() as client:
        catalog = RedisCatalog(client, Keys())
        return catalog.publish(bundle, inspection.tools, imports=list(inspection.imports))
