"""The witness: a plugin whose tool writes its params to the log sink, and what that file says afterwards.

It is independent of the ledger: a line is one execution, whoever claims to have counted it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import redis
import wasmtime

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import bundle_from
from penstock_plugins.record import PluginRecord
from penstock_workers.inspection import inspect_plugin
from tests.conformance.wat import ECHO, Data, ToolText, component, init_ok, tools

#: Turns of the empty loop: some milliseconds of work, so that kills hit calls that run.
_TURNS = 6_000_000

_MANIFEST = """
name = "witness"
version = "1.0.0"
[wasm]
capabilities = ["log"]
[[tool]]
name = "run"
idempotent = true
[[tool]]
name = "once"
idempotent = false
retryable = false
"""


def publish_witness(client: redis.Redis, keys: Keys) -> PluginRecord:
    """Publish the plugin `witness`: `run` may run again, `once` may not. Both return their params."""
    data = Data()
    listed = tools(data, [ToolText(name="run"), ToolText(name="once")])
    wat = component(
        data=data,
        init=init_ok(data, "witness", "1.0.0"),
        listed=listed,
        host=["log"],
        declarations=f"""
          (func $work (local $left i32)
            (local.set $left (i32.const {_TURNS}))
            (loop $turn
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $turn (local.get $left))))""",
        call=f"(call $log (i32.const 1) (local.get $args) (local.get $args-size)) (call $work) {ECHO}",
    )
    bundle = bundle_from({"plugin.toml": _MANIFEST.encode(), "plugin.wasm": bytes(wasmtime.wat2wasm(wat))})
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    return RedisCatalog(client, keys).publish(bundle, inspection.tools, imports=list(inspection.imports))


def executions(log_file: Path) -> Counter[int]:
    """How often each call `{"n": N}` was executed, as the log sink has it."""
    seen: Counter[int] = Counter()
    for line in log_file.read_text().splitlines():
        seen[json.loads(json.loads(line)["message"])["n"]] += 1
    return seen
