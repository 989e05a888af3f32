"""`plugin.toml`: what a plugin says of itself and asks for; read strictly, all problems at once (P-3)."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any, Literal

import semver
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from penstock_plugins.errors import ManifestError
from penstock_plugins.limits import MIB, Limits
from penstock_plugins.tool import Traits

#: A larger manifest is refused unread.
MAX_MANIFEST_BYTES = 64 * 1024
#: Names of plugins, of tools inside them, and of worker pools.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

Kind = Literal["component", "core", "python", "native"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LimitsTable(_Table):
    """`[wasm.limits]`: what one call of this plugin may use up. Fields as in `Limits`."""

    timeout_s: Annotated[float, Field(gt=0, le=86_400, strict=False)] | None = None
    #: Another spelling of `timeout_s`.
    deadline_s: Annotated[float, Field(gt=0, le=86_400, strict=False)] | None = None
    fuel: Annotated[int, Field(gt=0)] | None = None
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


class EnvTable(_Table):
    """`[wasm.env]`: names that `env-get` may ask for, and values that the plugin brings along."""

    allow: tuple[str, ...] = ()
    set: dict[str, str] = Field(default_factory=dict)

    @field_validator("allow", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return _texts(value, _ENV_NAME, "an environment variable's name")


class NetTable(_Table):
    """`[wasm.net]`: origins that `http-get` and `http-post` may reach, such as `https://api.example.com`."""

    allow: tuple[str, ...] = ()

    @field_validator("allow", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        return _texts(
            value, re.compile(r"https?://[^\s/?#@]{1,253}"), "an origin such as https://api.example.com"
        )


class WasmTable(_Table):
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


class RetryTable(_Table):
    """`[tool.retry]`: how often and how patiently a failed call is tried again."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    base_ms: Annotated[int, Field(ge=1)] = 100
    cap_ms: Annotated[int, Field(ge=1)] = 5000


class ToolTable(_Table):
    """`[[tool]]`: what the guest's own declaration cannot say."""

    name: str
    description: str | None = None
    writes_files: bool = False
    executes_commands: bool = False
    accesses_network: bool = False
    #: None: proved from the component's imports where that is possible.
    idempotent: bool | None = None
    retryable: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=86_400, strict=False)] | None = None
    batch_key: str | None = None
    cache_ttl_s: Annotated[float, Field(ge=0, strict=False)] | None = None
    retry: RetryTable | None = None

    @field_validator("name")
    @classmethod
    def _tool_name(cls, value: str) -> str:
        if not TOOL_NAME.fullmatch(value):
            raise ValueError("must begin with a letter and have letters, digits, - and _ only")
        return value

    def traits(self, *, proved_idempotent: bool = False) -> Traits:
        """The traits; `proved_idempotent` counts where the manifest is silent (E-4)."""
        return Traits(
            writes_files=self.writes_files,
            executes_commands=self.executes_commands,
            accesses_network=self.accesses_network,
            idempotent=proved_idempotent if self.idempotent is None else self.idempotent,
            retryable=self.retryable,
        )


class Manifest(_Table):
    """A plugin's manifest."""

    name: str
    version: str
    description: str = ""
    author: str = ""
    #: Where there is no such table, the plugin is a component that asks for `log`.
    wasm: WasmTable = Field(default_factory=lambda: WasmTable(capabilities=("log",)))
    tools: tuple[ToolTable, ...] = Field(default=(), alias="tool")
    #: Tools that must be there, by full name, with a version range.
    requires: dict[str, str] = Field(default_factory=dict)
    min_host: str | None = None
    max_host: str | None = None
    #: JSON Schema of the plugin's configuration.
    config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _plugin_name(cls, value: str) -> str:
        if not value:
            raise ValueError("name is required")
        if not NAME.fullmatch(value):
            raise ValueError(
                "must begin with a lower-case letter and have lower-case letters, digits, - and _ only"
            )
        return value

    @field_validator("version", "min_host", "max_host")
    @classmethod
    def _semantic(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("version is required")
        if value is not None and (len(value) > 128 or not semver.Version.is_valid(value)):
            raise ValueError(f"{value[:40]!r} is no semantic version such as 1.2.0")
        return value

    @field_validator("tools", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("tools")
    @classmethod
    def _distinct(cls, value: tuple[ToolTable, ...]) -> tuple[ToolTable, ...]:
        names = [tool.name for tool in value]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"declared twice: {', '.join(doubled)}")
        return value

    def limits(self) -> Limits:
        """What one call may use up, as far as the manifest says; defaults elsewhere."""
        given = self.wasm.limits.model_dump(exclude_none=True, exclude={"http_requests", "deadline_s"})
        if self.wasm.limits.deadline_s is not None:
            given["timeout_s"] = self.wasm.limits.deadline_s
        return Limits(**given)

    def tool_table(self, name: str) -> ToolTable | None:
        """The `[[tool]]` table of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)


def read_manifest(raw: bytes, *, path: str = "plugin.toml") -> Manifest:
    """Read a manifest.

    Args:
        raw: the TOML text.
        path: where it came from, for messages.

    Raises:
        ManifestError: it cannot be used; has every problem.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestError(
            f"Invalid manifest: {len(raw)} bytes; at most {MAX_MANIFEST_BYTES} are read", path
        )
    try:
        shape = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"Invalid manifest: {str(error)[:200] or type(error).__name__}", path) from error
    return manifest_from(shape, path=path)


def manifest_from(shape: Any, *, path: str = "plugin.toml") -> Manifest:
    """The manifest in a parsed document, such as one that `dump` wrote.

    Raises:
        ManifestError: it cannot be used; has every problem.
    """
    try:
        return Manifest.model_validate(shape)
    except ValidationError as error:
        raise ManifestError([_problem(item) for item in error.errors()], path) from error


def dump(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON values; `manifest_from` reads it back."""
    return manifest.model_dump(mode="json", by_alias=True, exclude_none=True)


def _problem(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing" and where in {"name", "version"}:
        return f"{where} is required"
    if item["type"] == "extra_forbidden":
        return f"Invalid manifest: {where}: no such key"
    message = str(item["msg"]).removeprefix("Value error, ")
    if message.endswith("is required"):
        return message
    return f"Invalid manifest: {where}: {message}"


def _texts(value: Any, pattern: re.Pattern[str], what: str) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of texts")  # noqa: TRY004  # pydantic collects ValueErrors
    for item in value:
        if not isinstance(item, str) or not pattern.fullmatch(item):
            raise ValueError(f"{str(item)[:80]!r} is not {what}")
    return tuple(value)
