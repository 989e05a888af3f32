"""What the worker's parent and the process that compiles say to each other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

#: Exit statuses, beside 0: the module is at fault, or this installation is.
BAD_MODULE = 3
BAD_INSTALLATION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileRequest:
    """What the parent wants compiled, and at what cost at most."""

    wasm_fd: int
    code_fd: int
    kind: str
    #: Fields of the `EngineSettings`, and the fingerprint that they must give here too.
    settings: dict[str, Any]
    fingerprint: str
    wasmtime: str
    parent_pid: int
    cpu_s: int
    memory_bytes: int
    code_bytes: int

    def to_json(self) -> str:
        """For the command line; `from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CompileRequest:
        """What `to_json` wrote."""
        return cls(**json.loads(text))
