"""The tables of `plugin.toml` that say of a tool what its guest cannot: `[[tool]]` and those inside it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from penstock_plugins.delivery import BOUNDS, MAX_LIMITS, Batching, Delivery, LimitRule, RetryRule, parse_rate
from penstock_plugins.key_template import KeyTemplate
from penstock_plugins.manifest_table import Seconds, Table
from penstock_plugins.tool import TOOL_NAME, Traits

_BATCHING, _RETRY = Batching(), RetryRule()


def _figure(name: str) -> Any:
    """The bounds of a figure of delivery."""
    least, most = BOUNDS[name]
    return Field(ge=least, le=most)


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
