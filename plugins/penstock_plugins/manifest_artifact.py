"""The tables of `plugin.toml` that say what runs and what it asks for: `[wasm]`, `[composite]`, `[build]`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from penstock_plugins.limits import MIB
from penstock_plugins.manifest_table import NAME, Seconds, Table, texts_like

_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMPOSITE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.(?:yaml|yml|toml|json)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ORIGIN = re.compile(r"https?://[^\s/?#@]{1,253}")
#: Files that a bundle and a catalog have beside the artifact.
RESERVED_FILES = frozenset({"plugin.toml", "readme.md", "license", "record.json"})

#: Composite tools of one plugin at most.
MAX_COMPOSITES = 64

Kind = Literal["component", "core", "python", "native"]


class LimitsTable(Table):
    """`[wasm.limits]`: what one call of this plugin may use up. Fields as in `Limits`."""

    timeout_s: Seconds | None = None
    #: Another spelling of `timeout_s`.
    deadline_s: Seconds | None = None
    #: The largest number that every reader of JSON agrees on.
    fuel: Annotated[int, Field(gt=0, le=2**53)] | None = None
    memory_bytes: Annotated[int, Field(gt=0, le=4096 * MIB)] | None = None
    memories: Annotated[int, Field(gt=0, le=100)] | None = None
    tables: Annotated[int, Field(gt=0, le=1000)] | None = None
    instances: Annotated[int, Field(gt=0, le=1000)] | None = None
    table_elements: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    output_bytes: Annotated[int, Field(gt=0, le=64 * MIB)] | None = None
    log_lines: Annotated[int, Field(ge=0, le=100_000)] | None = None
    log_bytes: Annotated[int, Field(ge=0, le=16 * MIB)] | None = None
    params_bytes: Annotated[int, Field(gt=0, le=64 * MIB)] | None = None
    #: Requests of `http-get` and `http-post` in one call.
    http_requests: Annotated[int, Field(ge=0, le=10_000)] | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> LimitsTable:
        if self.timeout_s is not None and self.deadline_s is not None:
            raise ValueError("timeout_s and deadline_s are the same limit: give one of them")
        return self


class EnvTable(Table):
    """`[wasm.env]`: names that `env-get` may ask for, and values that the plugin brings along."""

    allow: tuple[str, ...] = ()
    set: dict[str, str] = Field(default_factory=dict)

    @field_validator("allow", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return texts_like(value, _ENV_NAME, "an environment variable's name")

    @field_validator("set")
    @classmethod
    def _set_names(cls, value: dict[str, str]) -> dict[str, str]:
        texts_like(tuple(value), _ENV_NAME, "an environment variable's name")
        return value


class NetTable(Table):
    """`[wasm.net]`: origins that `http-get` and `http-post` may reach, such as `https://api.example.com`."""

    allow: tuple[str, ...] = ()

    @field_validator("allow", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        return texts_like(value, _ORIGIN, "an origin such as https://api.example.com")


class WasmTable(Table):
    """`[wasm]`: the artifact, and what it asks for."""

    module: str = "plugin.wasm"
    kind: Kind = "component"
    #: What it asks for; the operator decides what it gets.
    capabilities: tuple[str, ...] = ()
    #: Worker pool that runs it. None: any worker.
    pool: str | None = None
    limits: LimitsTable = LimitsTable()
    env: EnvTable = EnvTable()
    net: NetTable = NetTable()

    @field_validator("module")
    @classmethod
    def _plain_file(cls, value: str) -> str:
        if not _MODULE.fullmatch(value):
            raise ValueError("must be a plain file name inside the plugin's folder")
        if value.lower() in RESERVED_FILES:
            raise ValueError(f"{value} is something else: call the artifact plugin.wasm")
        return value

    @field_validator("pool")
    @classmethod
    def _pool_name(cls, value: str | None) -> str | None:
        if value is not None and not NAME.fullmatch(value):
            raise ValueError("must be a name of lower-case letters, digits, - and _")
        return value

    @field_validator("capabilities", mode="before")
    @classmethod
    def _capability_names(cls, value: Any) -> Any:
        return texts_like(value, NAME, "a capability's name")


class CompositeTable(Table):
    """`[composite]`: the plugin has no artifact, its tools are pipelines."""

    #: Files that have a composite tool each: YAML, TOML or JSON.
    files: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_COMPOSITES)]

    @field_validator("files", mode="before")
    @classmethod
    def _plain_files(cls, value: Any) -> Any:
        found = texts_like(value, _COMPOSITE_FILE, "a .yaml, .toml or .json file inside the plugin's folder")
        if wrong := [name for name in found if name.lower() in RESERVED_FILES]:
            raise ValueError(f"{wrong[0]} is something else: call the file after its tool")
        if len(set(found)) < len(found):
            raise ValueError("a file is named twice")
        return found


class BuildTable(Table):
    """`[build]`: how the artifact is made of its sources. Who runs it need not know."""

    #: The C library of a plugin in C: none, or wasi-libc.
    libc: Literal["none", "wasi"] = "none"
