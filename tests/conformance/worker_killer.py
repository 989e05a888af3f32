"""A plugin that ends the process of whoever checks its tool's params, when it is asked to.

Its schema is a few kilobytes. With `{"boom": true}` its references double at every level, which keeps the
validator busy for years with the interpreter's lock held; with anything else it is checked in no time.
"""

from __future__ import annotations

from typing import Any

import orjson
import wasmtime

from penstock_plugins.bundle import Bundle, bundle_from
from tests.conformance.wat import ECHO, Data, ToolText, component, init_ok, tools

_LEVELS = 60
_DEFS: dict[str, Any] = {
    **{f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(_LEVELS)},
    f"a{_LEVELS}": {"type": "object"},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": _DEFS,
    "if": {"properties": {"boom": {"const": True}}, "required": ["boom"]},
    "then": {"$ref": "#/$defs/a0"},
}
_MANIFEST = """
name = "killer"
version = "1.0.0"
[wasm]
capabilities = ["log"]
[wasm.limits]
timeout_s = 5.0
[[tool]]
name = "run"
idempotent = true
"""


def killer_bundle() -> Bundle:
    """The plugin `killer`; its tool `run` returns its params."""
    data = Data()
    listed = tools(data, [ToolText(name="run", parameters=orjson.dumps(SCHEMA).decode())])
    wat = component(data=data, init=init_ok(data, "killer", "1.0.0"), listed=listed, call=ECHO)
    return bundle_from({"plugin.toml": _MANIFEST.encode(), "plugin.wasm": bytes(wasmtime.wat2wasm(wat))})
