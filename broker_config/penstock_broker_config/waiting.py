"""Where calls wait that do not leave at once: by their batch key, their limits, or their delay. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from penstock_broker_config.ledger import BatchHeader, Buffer, DeclaredLimit
from penstock_plugins.delivery import Batching, LimitRule
from penstock_plugins.errors import ParamsError
from penstock_plugins.key_template import KeyTemplate

#: Of calls that wait for a limit or a moment only: they have nothing to gain from waiting for one another,
#: and a batch holds its slot until all of it has run.
_LIMITED_SIZE, _DELAYED_SIZE = 64, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Calls, and where each of them waits."""

    #: The params of each, as JSON texts.
    texts: Sequence[bytes]
    buffers: Sequence[Buffer]
    #: For each call, the position of its buffer.
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Limit:
    template: KeyTemplate
    rule: LimitRule


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """Finds the buffer of each call of one tool. Templates are compiled once.

    Args:
        batching: the tool's own batch key. None: it has none.
        rules: the tool's limits.
        batch_key: the caller's batch key; it counts instead of the tool's.
        delayed: whether the calls wait for a moment.
    """

    batching: Batching | None = None
    rules: tuple[LimitRule, ...] = ()
    batch_key: str | None = None
    delayed: bool = False
    _key: KeyTemplate | None = field(init=False, default=None)
    _limits: tuple[_Limit, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        if self.batch_key is None and self.batching is not None and self.batching.key is not None:
            object.__setattr__(self, "_key", KeyTemplate(self.batching.key))
        limits = tuple(_Limit(KeyTemplate(rule.key), rule) for rule in self.rules)
        object.__setattr__(self, "_limits", limits)

    @property
    def needed(self) -> bool:
        """Whether the calls wait at all."""
        return self.batch_key is not None or self._key is not None or bool(self._limits) or self.delayed

    def place(self, texts: Sequence[bytes], header: BatchHeader, *, refuse: bool) -> Placed:
        """The buffer of each call.

        Args:
            texts: the params of each call, as JSON texts.
            header: what the calls share: tenant, session and request are what keys may name.
            refuse: raise for params that have no key. Else such a call is replaced by a JSON text that says
                why, and fails as one whose params do not fit.

        Raises:
            ParamsError: params that a key names are missing.
        """
        context = {
            "tenant": header.tenant,
            "tool": header.tool,
            "plugin": header.tool.partition(".")[0],
            "session": header.session or {},
            "request": header.request or {},
        }
        placed, numbers = [], []
        buffers: list[Buffer] = []
        known: dict[Buffer, int] = {}
        constant: Buffer | None = None
        if self._key is None and not self._limits:
            constant = self._buffer(None, context)
        for text in texts:
            sent = text
            try:
                buffer = constant or self._buffer(orjson.loads(text), context)
            except ParamsError as error:
                if refuse:
                    raise
                sent, buffer = orjson.dumps(f"Not sent: {error.message}"), Buffer()
            number = known.get(buffer)
            if number is None:
                number = known[buffer] = len(buffers)
                buffers.append(buffer)
            placed.append(sent)
            numbers.append(number)
        return Placed(texts=placed, buffers=buffers, numbers=numbers)

    def _buffer(self, params: Any, context: dict[str, Any]) -> Buffer:
        key = self.batch_key if self._key is None else self._key.render(params, context)
        limits = tuple(
            DeclaredLimit(
                key=limit.template.render(params, context),
                concurrency=limit.rule.concurrency,
                rate_per_s=limit.rule.rate_per_s,
                burst=limit.rule.burst,
            )
            for limit in self._limits
        )
        if key is None:
            size = _LIMITED_SIZE if limits else _DELAYED_SIZE
            return Buffer(max_size=size, limits=limits)
        sizes = self.batching or Batching()
        return Buffer(
            key=key,
            max_size=sizes.max_size,
            max_bytes=sizes.max_bytes,
            max_wait_ms=sizes.max_wait_ms,
            limits=limits,
        )
