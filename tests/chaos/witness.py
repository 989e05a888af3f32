"""The witness: a plugin whose tools write their params to the log sink, and what that file says afterwards.

It is independent of the ledger: each execution writes a line when it begins and one when it ends, whoever
claims to have counted it. Lines are appended by one write each, so that their order is that of the events.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import wasmtime

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import bundle_from
from penstock_plugins.record import PluginRecord
from penstock_workers.inspection import inspect_plugin
from tests.conformance.wat import ECHO, Data, ToolText, component, content, init_ok, tools

#: Turns of the empty loop: some milliseconds of work, so that kills hit calls that run.
TURNS = 6_000_000
#: Batches of one key of `limited` that may run at once.
LIMIT = 2
#: Executions of one call of `failed`.
FAILED_ATTEMPTS = 3

_MANIFEST = f"""
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
[[tool]]
name = "keyed"
idempotent = true
batch_key = "{{{{input.key}}}}"
batch = {{ max_size = 25, max_wait_ms = 50 }}
[[tool]]
name = "failed"
idempotent = true
retryable = true
retry = {{ max_attempts = {FAILED_ATTEMPTS}, base_ms = 20, cap_ms = 100 }}
[[tool]]
name = "limited"
idempotent = true
[[tool.limits]]
key = "witness/{{{{input.key}}}}"
concurrency = {LIMIT}
"""

_WORK = """
          (func $work (local $left i32)
            (local.set $left (i32.const TURNS))
            (loop $turn
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $turn (local.get $left))))
          (func $long-work (param $args i32) (param $args-size i32) (local $left i32)
            (local.set $left (i32.const 8))
            (loop $turn
              (call $work)
              (call $log (i32.const 0) (local.get $args) (local.get $args-size))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $turn (local.get $left))))"""


def publish_witness(client: redis.Redis, keys: Keys, *, turns: int = TURNS) -> PluginRecord:
    """Publish the plugin `witness`. Its tools return their params; but `failed` meets a rate limit.

    `once` may not run again; `keyed` has a batch key, `limited` a limit, and says in between that it runs.
    """
    data = Data()
    listed = tools(data, [ToolText(name=name) for name in ("run", "once", "keyed", "failed", "limited")])
    later = content(data, '{"code":"RATE_LIMIT","message":"later"}', is_error=True)
    say = "(call $log (i32.const {level}) (local.get $args) (local.get $args-size))"
    # The tools are told apart by the lengths of their names.
    call = f"""
      {say.format(level=1)} (call $work)
      (if (i32.eq (local.get $name-size) (i32.const {len("limited")}))
        (then (call $long-work (local.get $args) (local.get $args-size))))
      {say.format(level=2)}
      (if (i32.eq (local.get $name-size) (i32.const {len("failed")})) (then (return {later})))
      {ECHO}"""
    wat = component(
        data=data,
        init=init_ok(data, "witness", "1.0.0"),
        listed=listed,
        host=["log"],
        declarations=_WORK.replace("TURNS", str(turns)),
        call=call,
    )
    bundle = bundle_from({"plugin.toml": _MANIFEST.encode(), "plugin.wasm": bytes(wasmtime.wat2wasm(wat))})
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    return RedisCatalog(client, keys).publish(bundle, inspection.tools, imports=list(inspection.imports))


def executions(log_file: Path) -> Counter[int]:
    """How often each call `{"n": N}` was begun, as the log sink has it."""
    seen: Counter[int] = Counter()
    for line in lines_of(log_file):
        if line["level"] == "info":
            seen[json.loads(line["message"])["n"]] += 1
    return seen


def lines_of(log_file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a witness's file, in their order; none when there is no file.

    Of a line that is being written there may be a part only: it is none yet.
    """
    if log_file.exists():
        written = log_file.read_bytes()
        for line in written[: written.rfind(b"\n") + 1].splitlines():
            yield json.loads(line)


@dataclass(slots=True)
class Execution:
    """One execution, as a process of `tests.chaos.entry` wrote it down."""

    #: Number and params of the call.
    n: int
    params: dict[str, Any]
    #: The process, and the worker that it belongs to.
    pid: int
    who: str
    #: Monotonic seconds, which all processes of a machine share: when it began, and each line since.
    begun_s: float
    seen_s: list[float]
    ended: bool = False


def read_executions(log_file: Path) -> list[Execution]:
    """Every execution, in the order of their beginnings. One that has no end was cut off."""
    found: list[Execution] = []
    current: dict[int, Execution] = {}
    for line in lines_of(log_file):
        pid, at = line["pid"], line["at"]
        if line["level"] == "info":
            params = json.loads(line["message"])
            current[pid] = Execution(
                n=params["n"], params=params, pid=pid, who=line["who"], begun_s=at, seen_s=[at]
            )
            found.append(current[pid])
        else:
            current[pid].seen_s.append(at)
            current[pid].ended = line["level"] == "warn"
    return found
