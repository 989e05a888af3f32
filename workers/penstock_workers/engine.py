"""The wasmtime engine: which features of WebAssembly exist for a guest, and how a guest can be stopped.

A compile or a thread of wasmtime before a fork hangs the child; so an engine is made after it, or by
`inherited`, which only loads. `EngineSettings` itself needs no wasmtime, so that the worker's parent
process can name artifacts without loading it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmtime import Engine

    from penstock_workers.pool import Pool

#: The wasmtime this is written against and tested with. Artifacts of another version are never loaded.
WASMTIME_VERSION = "50.0.1"

#: What a guest may use. Whatever our toolchains do not emit is off: it is attack surface, and two of
#: these (threads, stack switching) can wait where no epoch reaches.
_FEATURES: Mapping[str, bool] = {
    "wasm_component_model": True,
    "wasm_simd": True,
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    # Components of several parts, as componentize-qjs makes them, are joined by adapters that see the
    # memories of both sides. The store's limits count each memory.
    "wasm_multi_memory": True,
    # componentize-qjs emits them. Epochs and fuel are checked at each function's entry as well.
    "wasm_tail_call": True,
    "wasm_component_model_map": False,
    "wasm_component_model_implements": False,
    "wasm_custom_page_sizes": False,
    "wasm_exceptions": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "wasm_memory64": False,
    "wasm_relaxed_simd": False,
    "wasm_stack_switching": False,
    "wasm_threads": False,
    "wasm_wide_arithmetic": False,
    "gc_support": False,
    "shared_memory": False,
}

#: What has no switch in the Python API. The asynchronous ABI is off: a guest must not wait for anything, and
#: calls are cheaper without its bookkeeping. Unwind tables are for native debuggers; wasmtime follows frames.
_C_SWITCHES: Mapping[str, bool] = {
    "wasm_component_model_async": False,
    "concurrency_support": False,
    "native_unwind_info": False,
}

#: How guests are stopped.
_EPOCH_INTERRUPTION = True

#: Bytes of native stack for guest frames. Interpreters compiled to wasm recurse through several large
#: frames per level; the smallest thread stack that we run on has 8 MiB.
_MAX_WASM_STACK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is made of. Artifacts of one engine do not run on another with other settings."""

    #: Whether instructions are counted, so that a call can be stopped when its fuel runs out. It costs up
    #: to 2.5 times in tight loops, so that metered plugins get an engine and an artifact of their own.
    fuel: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """A short text that is the same exactly when the settings are the same."""
        parts = [_FEATURES, _C_SWITCHES, _EPOCH_INTERRUPTION, _MAX_WASM_STACK_BYTES, self.fuel]
        spelled = json.dumps(parts, sort_keys=True)
        digest = hashlib.sha256(spelled.encode()).hexdigest()[:16]
        return f"{'metered' if self.fuel else 'plain'}-{digest}"


PLAIN = EngineSettings()
METERED = EngineSettings(fuel=True)

#: Engines that this process has made, inherited by a fork: a worker refuses those that are not its own.
_made = 0


def engines_made() -> int:
    """How many engines this process, or a process that it was forked from, has made."""
    return _made


def new_engine(
    settings: EngineSettings = PLAIN, *, parallel: bool = True, pool: Pool | None = None
) -> Engine:
    """An engine of these settings. Before a fork only as `inherited` does it.

    Args:
        settings: what its artifacts depend on.
        parallel: whether it compiles with threads, which stay.
        pool: where its instances come from. None: each from the kernel. Artifacts do not depend on it.
    """
    # Imported here: who only reads settings needs no wasmtime.
    from wasmtime import Config, Engine, _ffi

    global _made  # noqa: PLW0603 - a fact about the process
    _made += 1
    config = Config()
    config.epoch_interruption = _EPOCH_INTERRUPTION
    config.consume_fuel = settings.fuel
    config.parallel_compilation = parallel
    config.max_wasm_stack = _MAX_WASM_STACK_BYTES
    for feature, on in _FEATURES.items():
        setattr(config, feature, on)
    for switch, on in _C_SWITCHES.items():
        getattr(_ffi, f"wasmtime_config_{switch}_set")(config.ptr(), on)
    if pool is not None:
        pool.set_in(config)
    return Engine(config)


class Engines:
    """The engines of this process, made when they are first asked for."""

    def __init__(self) -> None:
        self._engines: dict[tuple[EngineSettings, Pool | None], Engine] = {}

    def get(self, settings: EngineSettings = PLAIN, *, pool: Pool | None = None) -> Engine:
        """The engine of these settings, and with such a pool."""
        engine = self._engines.get((settings, pool))
        if engine is None:
            engine = self._engines[settings, pool] = new_engine(settings, pool=pool)
        return engine
