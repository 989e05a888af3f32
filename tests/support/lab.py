"""The plugin `lab`, made in a moment from WAT: tools that echo, fail, wait, or may run once only."""

from __future__ import annotations

import redis
import wasmtime

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import Bundle, bundle_from
from penstock_plugins.record import PluginRecord
from penstock_workers.inspection import inspect_plugin
from tests.conformance.wat import ECHO, Data, ToolText, component, content, init_ok, tools

#: By the lengths of their names, which is how the guest tells them apart.
_TOOLS = ("echo", "shaky", "forever", "once-only")
_SHAKY, _FOREVER = len("shaky"), len("forever")


def lab_bundle(version: str = "1.0.0", *, mended: bool = False) -> Bundle:
    """The plugin.

    `echo` and `shaky` are pure, `once-only` may not run again; they return their params. But `shaky` fails
    with NOT_FOUND unless it is `mended`, and `forever` never ends.
    """
    data = Data()
    listed = tools(data, [ToolText(name=name) for name in _TOOLS])
    failed = content(data, '{"code":"NOT_FOUND","message":"not here"}', is_error=True)
    shaky = "" if mended else f"(then (return {failed}))"
    call = f"""
      (if (i32.eq (local.get $name-size) (i32.const {_SHAKY})) {shaky or "(then)"})
      (if (i32.eq (local.get $name-size) (i32.const {_FOREVER})) (then (loop $turn (br $turn))))
      {ECHO}"""
    wat = component(data=data, init=init_ok(data, "lab", version), listed=listed, call=call)
    manifest = f'name = "lab"\nversion = "{version}"\n[wasm]\ncapabilities = []\n'
    for name in _TOOLS:
        traits = "idempotent = false\nretryable = false" if name == "once-only" else "idempotent = true"
        manifest += f'[[tool]]\nname = "{name}"\n{traits}\n'
    return bundle_from({"plugin.toml": manifest.encode(), "plugin.wasm": bytes(wasmtime.wat2wasm(wat))})


def publish_lab(client: redis.Redis, version: str = "1.0.0", *, mended: bool = False) -> PluginRecord:
    """Publish it."""
    bundle = lab_bundle(version, mended=mended)
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    return RedisCatalog(client, Keys()).publish(bundle, inspection.tools)
