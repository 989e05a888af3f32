"""The tables of `plugin.toml`: what may stand in each of them, and within which bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from penstock_plugins.delivery import BOUNDS, MAX_LIMITS, Batching, Delivery, LimitRule, RetryRule, parse_rate
from penstock_plugins.key_template import KeyTemplate
from penstock_plugins.limits import MIB
from penstock_plugins.printable import printable
from penstock_plugins.tool import TOOL_NAME, Traits
from penstock_plugins.versions import VersionRange

#: Names of plugins, capabilities and worker pools.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMPOSITE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.(?:yaml|yml|toml|json)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ORIGIN = re.compile(r"https?://[^\s/?#@]{1,253}")
#: Files that a bundle and a catalog have beside the artifact.
RESERVED_FILES = frozenset({"plugin.toml", "readme.md", "license", "record.json"})

#: Composite tools of one plugin at most.
MAX_COMPOSITES = 64

Kind = Literal["component", "core", "python", "native"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]

_BATCHING, _RETRY = Batching(), RetryRule()


def _figure(name: str) -> Any:
    """The bounds of a figure of delivery."""
    least, most = BOUNDS[name]
    return Field(ge=least, le=most)


class Table(BaseModel):
    """A table that refuses keys it does not know and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
        return _texts(value, _ENV_NAME, "an environment variable's name")

    @field_validator("set")
    @classmethod
    def _set_names(cls, value: dict[str, str]) -> dict[str, str]:
        _texts(tuple(value), _ENV_NAME, "an environment variable's name")
        return value


class NetTable(Table):
    """`[wasm.net]`: origins that `http-get` and `http-post` may reach, such as `https://api.example.com`."""

    allow: tuple[str, ...] = ()

    @field_validator("allow", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        return _texts(value, _ORIGIN, "an origin such as https://api.example.com")


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
        return _texts(value, NAME, "a capability's name")


class RetryTable(Table):
    """`[tool.retry]`: how often and how patiently a failed call is tried again."""

    max_attempts: Annotated[int, _figure("max_attempts")] = _RETRY.max_attempts
    base_ms: Annotated[int, _figure("base_ms")] = _RETRY.base_ms
    cap_ms: Annotated[int, _figure("cap_ms")] = _RETRY.cap_ms


class BatchTable(Table):
    """`[tool.batch]`: when calls with the same key leave together. Fields as in `Batching`."""

    max_size: Annotated[int, _figure("max_size")] = _BATCHING.max_size
    max_bytes: Annotated[int, _figure("max_bytes")] = _BATCHING.max_bytes
    max_wait_ms: Annotated[int, _figure("max_wait_ms")] = _BATCHING.max_wait_ms


class LimitTable(Table):
    """`[[tool.limits]]`: a limit that holds over all hosts. Without figures the operator sets them."""

    key: str
    concurrency: Annotated[int, _figure("concurrency")] | None = None
    #: `10/s`, `600/min`, `5000/h`, or calls a second.
    rate: str | float | None = None
    burst: Annotated[int, _figure("burst")] | None = None

    @field_validator("key")
    @classmethod
    def _key(cls, value: str) -> str:
        KeyTemplate(value)
        return value

    @field_validator("rate", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        if value is not None:
            parse_rate(value)
        return value

    def rule(self) -> LimitRule:
        """The limit."""
        rate = None if self.rate is None else parse_rate(self.rate)
        return LimitRule(key=self.key, concurrency=self.concurrency, rate_per_s=rate, burst=self.burst)


class ToolTable(Table):
    """`[[tool]]`: what the guest's own declaration cannot say."""

    name: str
    description: str | None = None
    writes_files: bool = False
    executes_commands: bool = False
    accesses_network: bool = False
    #: None: proved from the component's imports where that is possible.
    idempotent: bool | None = None
    retryable: bool = False
    timeout_s: Seconds | None = None
    #: A template, as `{{input.host}}`: calls with the same key leave together.
    batch_key: str | None = None
    batch: BatchTable = BatchTable()
    limits: Annotated[tuple[LimitTable, ...], Field(max_length=MAX_LIMITS, strict=False)] = ()
    #: Calls of one batch may share an instance, by the component's `call-tool-batch`.
    batch_entry_point: bool = False
    cache_ttl_s: Annotated[float, Field(ge=0, le=31_536_000)] | None = None
    retry: RetryTable | None = None

    @field_validator("name")
    @classmethod
    def _tool_name(cls, value: str) -> str:
        if not TOOL_NAME.fullmatch(value):
            raise ValueError("must begin with a letter and have letters, digits, - and _ only, 64 at most")
        return value

    @field_validator("batch_key")
    @classmethod
    def _batch_key(cls, value: str | None) -> str | None:
        if value is not None:
            KeyTemplate(value)
        return value

    def batching(self) -> Batching:
        """When its calls leave together."""
        sizes = self.batch
        return Batching(
            key=self.batch_key,
            max_size=sizes.max_size,
            max_bytes=sizes.max_bytes,
            max_wait_ms=sizes.max_wait_ms,
        )

    def delivery(self) -> Delivery:
        """How its calls are batched, limited and tried again."""
        retry = RetryRule() if self.retry is None else RetryRule(**self.retry.model_dump())
        limits = tuple(limit.rule() for limit in self.limits)
        return Delivery(batching=self.batching(), limits=limits, retry=retry)

    def traits(self, *, proved_idempotent: bool = False) -> Traits:
        """The traits; `proved_idempotent` counts where the manifest is silent (E-4)."""
        return Traits(
            writes_files=self.writes_files,
            executes_commands=self.executes_commands,
            accesses_network=self.accesses_network,
            idempotent=proved_idempotent if self.idempotent is None else self.idempotent,
            retryable=self.retryable,
        )


class CompositeTable(Table):
    """`[composite]`: the plugin has no artifact, its tools are pipelines."""

    #: Files that have a composite tool each: YAML, TOML or JSON.
    files: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_COMPOSITES)]

    @field_validator("files", mode="before")
    @classmethod
    def _plain_files(cls, value: Any) -> Any:
        found = _texts(value, _COMPOSITE_FILE, "a .yaml, .toml or .json file inside the plugin's folder")
        if wrong := [name for name in found if name.lower() in RESERVED_FILES]:
            raise ValueError(f"{wrong[0]} is something else: call the file after its tool")
        if len(set(found)) < len(found):
            raise ValueError("a file is named twice")
        return found


class BuildTable(Table):
    """`[build]`: how the artifact is made of its sources. Who runs it need not know."""

    #: The C library of a plugin in C: none, or wasi-libc.
    libc: Literal["none", "wasi"] = "none"


class RangeTable(Table):
    """`{min = "1.0.0", max = "1.9.9"}`: versions from one to the other, both included."""

    min: str | None = None
    max: str | None = None

    @model_validator(mode="after")
    def _versions(self) -> RangeTable:
        VersionRange.between(self.min, self.max)
        return self

    def range(self) -> VersionRange:
        """The range."""
        return VersionRange.between(self.min, self.max)


def _texts(value: Any, pattern: re.Pattern[str], what: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of texts")  # noqa: TRY004 -- pydantic collects ValueErrors
    wrong = [item for item in value if not isinstance(item, str) or not pattern.fullmatch(item)]
    if wrong:
        named = ", ".join(repr(printable(item, 80)) for item in wrong[:5])
        raise ValueError(f"{named}{', …' if len(wrong) > 5 else ''}: not {what}")
    return tuple(value)
