"""The pooling allocator: memories and tables that stay mapped, and are wiped between two instances.

Mapping and unmapping four gigabytes of addresses is most of what a small call costs otherwise. The pool is an
affair of a running engine only: native code is the same with it and without. What it cannot hold is taken by
an engine without one, so that it never changes what a plugin may do.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_plugins.limits import MIB, Limits

if TYPE_CHECKING:
    from wasmtime import Config

#: One call runs at a time; places for this many, each with the default limits, keep as many plugins warm.
_PLACES = 16

#: A 32-bit memory, and the guard around it.
_MEMORY_BYTES = 4096 * MIB
_GUARD_BYTES = 64 * MIB
_ELEMENT_BYTES = 16
#: For whatever else this process maps later.
_SPARE_BYTES = 16 * 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """How much a pool holds. Addresses, that is: memory is used by what a guest touches."""

    memories: int = _PLACES * Limits().memories
    tables: int = _PLACES * Limits().tables
    instances: int = _PLACES * Limits().instances
    table_elements: int = 10 * Limits().table_elements
    #: Bytes of a memory, and of a table, that are wiped by writing zeros. The rest goes back to the kernel,
    #: which costs a fault for each page that is used again; more is written in vain where less is used.
    memory_resident_bytes: int = 128 * 1024
    table_resident_bytes: int = 4096

    def holds(self, limits: Limits) -> bool:
        """Whether everything that these limits allow finds room."""
        return (
            limits.memories <= self.memories
            and limits.tables <= self.tables
            and limits.instances <= self.instances
            and limits.table_elements <= self.table_elements
        )

    @property
    def address_bytes(self) -> int:
        """Addresses that it reserves, at most."""
        return (
            self.memories * (_MEMORY_BYTES + _GUARD_BYTES)
            + self.tables * self.table_elements * _ELEMENT_BYTES
            + _SPARE_BYTES
        )

    def can_be_had(self) -> bool:
        """Whether this process may still reserve that much: wasmtime ends the process when it cannot."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        try:
            mmap.mmap(-1, self.address_bytes, flags=flags, prot=0).close()
        except (OSError, ValueError, OverflowError):
            return False
        return True

    def set_in(self, config: Config) -> None:
        """Let engines of this configuration take their instances from such a pool."""
        # Imported here: who only knows pools needs no wasmtime.
        from wasmtime import _ffi

        sizes = {
            # One per store, and a store lives for one call.
            "total_component_instances": _PLACES,
            "total_core_instances": self.instances,
            "total_memories": self.memories,
            "total_tables": self.tables,
            # The store's limits decide how many of them one call gets, and how large.
            "max_memories_per_module": self.memories,
            "max_tables_per_module": self.tables,
            "max_memory_size": _MEMORY_BYTES,
            "table_elements": self.table_elements,
            "max_component_instance_size": 16 * MIB,
            "max_core_instance_size": 16 * MIB,
            "linear_memory_keep_resident": self.memory_resident_bytes,
            "table_keep_resident": self.table_resident_bytes,
            # Stacks and heaps of asynchronous functions and of garbage collection, which are off.
            "total_stacks": 1,
            "total_gc_heaps": 1,
        }
        pool = _ffi.wasmtime_pooling_allocation_config_new()
        try:
            for name, value in sizes.items():
                getattr(_ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, value)
            _ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
        finally:
            _ffi.wasmtime_pooling_allocation_config_delete(pool)
