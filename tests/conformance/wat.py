"""Writes components for the world `grain-plugin` as WAT: a core module goes in, a component comes out.

The module is given as text. It exports `memory`, `realloc`, `init`, `list-tools` and `call-tool` in the
canonical ABI; `core_module` fills in whichever of them a guest does not care to write itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Where a guest finds the functions of the host, when it says that it wants them.
HOST = "grain:plugin/host"

_HOST_TYPE = """
    (type $host-type (instance
      (type $level' (enum "debug" "info" "warn" "error"))
      (export "log-level" (type $level (eq $level')))
      (type $response' (record (field "status" u16) (field "headers" (list (tuple string string)))
                               (field "body" string)))
      (export "http-response" (type $response (eq $response')))
      (export "log" (func (param "level" $level) (param "msg" string)))
      (export "env-get" (func (param "key" string) (result (option string))))
      (export "http-get" (func (param "url" string) (param "headers" (list (tuple string string)))
                               (result (result $response (error string)))))
      (export "http-post" (func (param "url" string) (param "headers" (list (tuple string string)))
                                (param "body" string) (result (result $response (error string)))))))
    (import "grain:plugin/host" (instance $host (type $host-type)))"""

#: How each host function is lowered, and the core type the guest imports it with.
_LOWERED = {
    "log": "(param i32 i32 i32)",
    "env-get": "(param i32 i32 i32)",
    "http-get": "(param i32 i32 i32 i32 i32)",
    "http-post": "(param i32 i32 i32 i32 i32 i32 i32)",
}

_EXPORTS = """
    (type $info' (record (field "name" string) (field "version" string)))
    (type $def' (record (field "name" string) (field "label" string) (field "description" string)
                        (field "parameters-json" string)))
    (type $result' (record (field "content-json" string) (field "is-error" bool)))
    (func $init' (result (result $info' (error string)))
      (canon lift (core func $main "init") (memory $memory) (realloc $realloc)))
    (func $list' (result (list $def'))
      (canon lift (core func $main "list-tools") (memory $memory) (realloc $realloc)))
    (func $call' (param "name" string) (param "args-json" string) (result $result')
      (canon lift (core func $main "call-tool") (memory $memory) (realloc $realloc) %POST_RETURN% %ENCODING%))
    (component $plugin
      (type $info'' (record (field "name" string) (field "version" string)))
      (type $def'' (record (field "name" string) (field "label" string) (field "description" string)
                           (field "parameters-json" string)))
      (type $result'' (record (field "content-json" string) (field "is-error" bool)))
      (import "import-type-plugin-info" (type $info (eq $info'')))
      (import "import-type-tool-def" (type $def (eq $def'')))
      (import "import-type-tool-result" (type $result (eq $result'')))
      (import "import-func-init" (func $init (result (result $info (error string)))))
      (import "import-func-list-tools" (func $list (result (list $def))))
      (import "import-func-call-tool"
        (func $call (param "name" string) (param "args-json" string) (result $result)))
      (export $info-out "plugin-info" (type $info''))
      (export $def-out "tool-def" (type $def''))
      (export $result-out "tool-result" (type $result''))
      (export "init" (func $init) (func (result (result $info-out (error string)))))
      (export "list-tools" (func $list) (func (result (list $def-out))))
      (export "call-tool" (func $call)
        (func (param "name" string) (param "args-json" string) (result $result-out))))
    (instance $out (instantiate $plugin
      (with "import-type-plugin-info" (type $info'))
      (with "import-type-tool-def" (type $def'))
      (with "import-type-tool-result" (type $result'))
      (with "import-func-init" (func $init'))
      (with "import-func-list-tools" (func $list'))
      (with "import-func-call-tool" (func $call'))))
    (export "grain:plugin/plugin" (instance $out))"""


#: The export of `call-tool-batch`.
_BATCH = """
    (func $batch' (param "name" string) (param "args-json" (list string)) (result (list $result'))
      (canon lift (core func $main "call-tool-batch") (memory $memory) (realloc $realloc)))
    (component $batch-interface
      (type $result'' (record (field "content-json" string) (field "is-error" bool)))
      (import "import-type-tool-result" (type $result (eq $result'')))
      (import "import-func-call-tool-batch"
        (func $batch (param "name" string) (param "args-json" (list string)) (result (list $result))))
      (export $result-out "tool-result" (type $result''))
      (export "call-tool-batch" (func $batch)
        (func (param "name" string) (param "args-json" (list string)) (result (list $result-out)))))
    (instance $batch-out (instantiate $batch-interface
      (with "import-type-tool-result" (type $result'))
      (with "import-func-call-tool-batch" (func $batch'))))
    (export "penstock:batch/batch" (instance $batch-out))"""

#: A body of `call-tool-batch` that makes each call as `call-tool` would, one after the other.
EACH = """
      (local.set $out (call $grab (i32.mul (local.get $count) (i32.const 12))))
      (i32.store (i32.const 32) (local.get $out))
      (i32.store (i32.const 36) (local.get $count))
      (block $done (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $at (call $call-tool (local.get $name) (local.get $name-size)
          (i32.load (local.get $list)) (i32.load offset=4 (local.get $list))))
        (i32.store (local.get $out) (i32.load (local.get $at)))
        (i32.store offset=4 (local.get $out) (i32.load offset=4 (local.get $at)))
        (i32.store offset=8 (local.get $out) (i32.load offset=8 (local.get $at)))
        (local.set $out (i32.add (local.get $out) (i32.const 12)))
        (local.set $list (i32.add (local.get $list) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
      (i32.const 32)"""

#: A body of `call-tool` that returns the params as it got them.
ECHO = """
      (i32.store (i32.const 16) (local.get $args))
      (i32.store (i32.const 20) (local.get $args-size))
      (i32.store (i32.const 24) (i32.const 0))
      (i32.const 16)"""


@dataclass(slots=True)
class Data:
    """Strings laid out in a guest's memory, and where they are."""

    at: int = 1024
    segments: list[str] = field(default_factory=list)

    def string(self, text: str | bytes) -> tuple[int, int]:
        """Put a string into memory; returns its address and its length in bytes."""
        raw = text.encode() if isinstance(text, str) else text
        address = self.at
        escaped = "".join(f"\\{byte:02x}" for byte in raw)
        self.segments.append(f'(data (i32.const {address}) "{escaped}")')
        self.at = (address + len(raw) + 15) & ~15
        return address, len(raw)

    def words(self, *words: int) -> int:
        """Put 32-bit words into memory; returns their address."""
        return self.string(b"".join(word.to_bytes(4, "little") for word in words))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolText:
    """One tool as a guest lists it."""

    name: str = "run"
    label: str = ""
    description: str = "A guest of the conformance suite."
    parameters: str | bytes = '{"type":"object"}'


def init_ok(data: Data, name: str, version: str = "1.0.0") -> str:
    """A body of `init` that returns the plugin's name and version."""
    return f"(i32.const {data.words(0, *data.string(name), *data.string(version))})"


def init_error(data: Data, message: str) -> str:
    """A body of `init` that returns an error."""
    return f"(i32.const {data.words(1, *data.string(message))})"


def utf16(data: Data, text: bytes) -> tuple[int, int]:
    """Put a UTF-16 string into memory; returns its address and its length in code units."""
    at, size = data.string(text)
    return at, size // 2


def tools(data: Data, listed: Iterable[ToolText] = (ToolText(),)) -> str:
    """A body of `list-tools`."""
    words: list[int] = []
    count = 0
    for tool in listed:
        count += 1
        for text in (tool.name, tool.label, tool.description, tool.parameters):
            words += data.string(text)
    return f"(i32.const {data.words(data.words(*words), count)})"


def content(data: Data, text: str | bytes, *, is_error: bool = False) -> str:
    """A body of `call-tool` that returns this content."""
    return f"(i32.const {data.words(*data.string(text), int(is_error))})"


def component(
    *,
    name: str = "guest",
    call: str | None = None,
    batch: str | None = None,
    init: str | None = None,
    listed: str | None = None,
    data: Data | None = None,
    declarations: str = "",
    imports: str = "",
    host: Iterable[str] = (),
    memory: str = '(memory (export "memory") 4)',
    realloc: str | None = None,
    post_return: str | None = None,
    encoding: str = "utf8",
    before: str = "",
    lowered: str = "",
    wiring: str = "",
) -> str:
    """A component for the world `grain-plugin`.

    Args:
        name: of the plugin, as `init` says it.
        call: body of `call-tool`; its params are `$name $name-size $args $args-size`. None: echoes the args.
        batch: body of `call-tool-batch`; its params are `$name $name-size $list $count`, its locals
            `$out` and `$at`. None: there is no batch entry point.
        init: body of `init`. None: returns `name` and version 1.0.0.
        listed: body of `list-tools`. None: one tool, "run".
        data: the strings that the bodies refer to.
        declarations: more of the core module: globals, functions, tables, a start function.
        imports: imports of the core module beside those of `host`.
        host: host functions that the guest imports, as `$log`, `$env-get` …
        realloc: body of `realloc`; its params are `$old $old-size $align $size`. None: a bump allocator.
        post_return: body of `call-tool`'s post-return function; its param is `$result`. None: there is none.
        encoding: of the strings of `call-tool`.
        before: items of the component before the core module, such as further imports.
        lowered: items after the memory is there (`$memory`, `$realloc`), such as lowered imports.
        wiring: `(with …)` clauses for `imports`.
    """
    data = data or Data()
    host = tuple(host)
    call = call or ECHO
    init = init or init_ok(data, name)
    listed = listed or tools(data)
    realloc = realloc or _BUMP
    hosted = "".join(f'(import "{HOST}" "{name}" (func ${name} {_LOWERED[name]}))' for name in host)
    post = '(post-return (core func $main "post"))' if post_return else ""
    exports = _EXPORTS.replace("%POST_RETURN%", post).replace("%ENCODING%", f"string-encoding={encoding}")
    module = f"""
    (core module $Main
      (import "env" "memory" (memory 0))
      (import "env" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
      {hosted} {imports}
      {declarations}
      (func (export "init") (result i32) {init})
      (func (export "list-tools") (result i32) {listed})
      (func $grab (param $size i32) (result i32)
        (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $size)))
      (func $call-tool (export "call-tool") (param $name i32) (param $name-size i32)
            (param $args i32) (param $args-size i32) (result i32) {call})
      (func (export "call-tool-batch") (param $name i32) (param $name-size i32)
            (param $list i32) (param $count i32) (result i32) (local $out i32) (local $at i32)
            {batch or "unreachable"})
      (func (export "post") (param $result i32) {post_return or ""})
      {" ".join(data.segments)})"""
    return f"""(component
    {_HOST_TYPE if host else ""}
    {before}
    (core module $Memory
      {memory}
      (global $next (mut i32) (i32.const {data.at + 65536}))
      (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
            (result i32) (local $at i32) {realloc}))
    {module}
    (core instance $lib (instantiate $Memory))
    (alias core export $lib "memory" (core memory $memory))
    (alias core export $lib "realloc" (core func $realloc))
    {"".join(_lower(name) for name in host)}
    {lowered}
    (core instance $main (instantiate $Main (with "env" (instance $lib))
      {_with_host(host)} {wiring}))
    {exports} {_BATCH if batch else ""})"""


_BUMP = """
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))) (then
        (if (i32.eq (i32.const -1) (memory.grow
              (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))) (then unreachable))))
      (local.get $at)"""


def _lower(name: str) -> str:
    return f"""
    (alias export $host "{name}" (func $host-{name}))
    (core func $core-{name} (canon lower (func $host-{name}) (memory $memory) (realloc $realloc)))"""


def _with_host(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    exports = " ".join(f'(export "{name}" (func $core-{name}))' for name in names)
    return f'(with "{HOST}" (instance {exports}))'
