"""The plugin `toy`: the tools of random pipelines (`strategies.toy`) as a real component, made from WAT."""

from __future__ import annotations

import redis
import wasmtime

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import bundle_from
from penstock_plugins.record import PluginRecord
from penstock_workers.inspection import inspect_plugin
from tests.conformance.wat import Data, ToolText, component, content, init_ok, tools

#: Numbers are less than this.
_NUMBERS = 40

#: The number after `"n":`, or -1 when there is none.
_NUMBER = f"""
          (func $number (param $args i32) (param $size i32) (result i32) (local $begin i32) (local $n i32)
            (local $byte i32)
            (block $found
              (loop $look
                (if (i32.lt_s (local.get $size) (i32.const 6)) (then (return (i32.const -1))))
                (br_if $found
                  (i32.eq (i32.load (local.get $args)) (i32.const {int.from_bytes(b'"n":', "little")})))
                (local.set $args (i32.add (local.get $args) (i32.const 1)))
                (local.set $size (i32.sub (local.get $size) (i32.const 1)))
                (br $look)))
            (local.set $args (i32.add (local.get $args) (i32.const 4)))
            (local.set $begin (local.get $args))
            (loop $next
              (local.set $byte (i32.load8_u (local.get $args)))
              (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 10))
                (then
                  (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10))
                    (i32.sub (local.get $byte) (i32.const 48))))
                  (local.set $args (i32.add (local.get $args) (i32.const 1)))
                  (br $next))))
            (if (i32.eq (local.get $args) (local.get $begin)) (then (return (i32.const -1))))
            (local.get $n))"""


def publish_toys(client: redis.Redis) -> PluginRecord:
    """Publish it."""
    data = Data()
    listed = tools(data, [ToolText(name=name) for name in ("add", "odd", "undo")])
    unfit = content(data, '{"code":"VALIDATION_ERROR","message":"n is no number"}', is_error=True)
    nothing = content(data, '{"code":"NOT_FOUND","message":"nothing here"}', is_error=True)
    undone = content(data, "{}")
    said = [content(data, f'{{"n":{(n + 1) % _NUMBERS}}}') for n in range(_NUMBERS)]
    answers = "".join(
        f"(if (i32.eq (local.get $n) (i32.const {n})) (then (return {answer})))"
        for n, answer in enumerate(said)
    )
    declarations = f"""{_NUMBER}
          (func $answer (param $n i32) (result i32) {answers} (unreachable))"""
    # The tools are told apart by their first letters.
    call = f"""
      (if (i32.lt_s (call $number (local.get $args) (local.get $args-size)) (i32.const 0))
        (then (return {unfit})))
      (if (i32.eq (i32.load8_u (local.get $name)) (i32.const {ord("u")})) (then (return {undone})))
      (if (i32.and
            (i32.eq (i32.load8_u (local.get $name)) (i32.const {ord("o")}))
            (i32.eqz (i32.rem_u (call $number (local.get $args) (local.get $args-size)) (i32.const 3))))
        (then (return {nothing})))
      (call $answer (call $number (local.get $args) (local.get $args-size)))"""
    wat = component(
        data=data, init=init_ok(data, "toy", "1.0.0"), listed=listed, declarations=declarations, call=call
    )
    manifest = 'name = "toy"\nversion = "1.0.0"\n[wasm]\ncapabilities = []\n'
    for name in ("add", "odd", "undo"):
        manifest += f'[[tool]]\nname = "{name}"\nidempotent = true\n'
    bundle = bundle_from({"plugin.toml": manifest.encode(), "plugin.wasm": bytes(wasmtime.wat2wasm(wat))})
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    return RedisCatalog(client, Keys()).publish(bundle, inspection.tools)
