"""What one call may use up before it is stopped."""

from __future__ import annotations

from dataclasses import dataclass, fields

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may use up before it is stopped. Every field is a hard limit."""

    #: Wall-clock seconds of one execution, `init` included; enforced by epoch interruption.
    timeout_s: float = 30.0
    #: Instructions, roughly; the call ends OUT_OF_FUEL when they run out. None: not metered.
    fuel: int | None = None
    #: Bytes of each linear memory.
    memory_bytes: int = 64 * MIB
    #: Linear memories, tables and instances that one call may create.
    memories: int = 4
    tables: int = 16
    instances: int = 32
    #: Elements of each table.
    table_elements: int = 100_000
    #: Bytes of the guest's output (`content-json`).
    output_bytes: int = MIB
    #: Lines and bytes that the guest may log; what is beyond is dropped and counted.
    log_lines: int = 256
    log_bytes: int = 64 * 1024
    #: Bytes of the params' JSON text.
    params_bytes: int = MIB

    def narrowed(self, other: Limits) -> Limits:
        """The smaller of the two, field by field: a later layer only narrows."""
        values = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            values[field.name] = theirs if mine is None else mine if theirs is None else min(mine, theirs)
        return Limits(**values)
