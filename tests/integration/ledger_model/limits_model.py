"""What a limit allows: slots with a lease, tokens, pauses. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from penstock_broker_config.ledger import DeclaredLimit, LimitChange

#: The scripts keep tokens with six digits.
SLACK = 1e-3


@dataclass(slots=True)
class Limit:
    """One key."""

    declared: DeclaredLimit
    #: What the operator set; `math.inf`: none.
    own: dict[str, float] = field(default_factory=dict)
    set_by_operator: bool = False
    paused_until: float = 0
    tokens: float | None = None
    counted_at: int = 0
    #: Batch → until when its slot is leased.
    held: dict[str, int] = field(default_factory=dict)

    @property
    def concurrency(self) -> float:
        """Slots in all."""
        return self._figure("concurrency", self.declared.concurrency)

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self._figure("rate_per_s", self.declared.rate_per_s)

    @property
    def burst(self) -> float:
        """Tokens at most."""
        return max(1.0, self.own.get("burst", self.declared.burst or self.rate))

    def _figure(self, name: str, declared: float | None) -> float:
        return self.own.get(name, math.inf if declared is None else declared)

    def tokens_at(self, t: int) -> float:
        """Tokens that there are."""
        if math.isinf(self.rate):
            return math.inf
        if self.tokens is None:
            return self.burst
        return min(self.burst, self.tokens + (t - self.counted_at) / 1000 * self.rate)

    def slots_at(self, t: int) -> set[str]:
        """Whose slots are leased."""
        return {batch for batch, until in self.held.items() if until > t}


class Limits:
    """All keys."""

    def __init__(self, declared: Iterable[DeclaredLimit]) -> None:
        self._declared = {limit.key: limit for limit in declared}
        self.of: dict[str, Limit] = {}

    def limit(self, key: str) -> Limit:
        """The limit of a key; one that nobody has declared or set limits nothing."""
        return self.of.setdefault(key, Limit(self._declared.get(key, DeclaredLimit(key=key))))

    def standing(self, keys: Iterable[str], tool: str, tenant: str) -> tuple[str, ...]:
        """`keys`, and what the operator has set for all calls of a tool or a tenant."""
        found = list(keys)
        for key in (f"tool:{tool}", f"tenant:{tenant}"):
            if key not in found and key in self.of and self.of[key].set_by_operator:
                found.append(key)
        return tuple(found)

    def may_start(
        self, keys: Sequence[str], t: int, *, own: str = "", unpaid: int = 0, slack: float = 0.0
    ) -> float:
        """How many calls may start; of a batch that holds slots, or had tokens already (`own`), 1 or 0.

        Such a batch asks for tokens of its last `unpaid` keys only.
        """
        most = math.inf
        for place, key in enumerate(keys):
            limit = self.limit(key)
            slots = limit.slots_at(t)
            if limit.paused_until > t or len(slots - {own}) >= limit.concurrency:
                return 0
            if (not own or place >= len(keys) - unpaid) and not math.isinf(limit.rate):
                tokens = limit.tokens_at(t) + slack if limit.rate > 0 else 0
                most = min(most, max(0, math.floor(tokens)))
        return min(most, 1) if own else most

    def take(
        self, keys: Sequence[str], batch: str, calls: int, t: int, until: int, unpaid: int | None = None
    ) -> None:
        """A batch takes its slots and its tokens; those of its last `unpaid` keys, when that is given."""
        for place, key in enumerate(keys):
            limit = self.limit(key)
            limit.held = {b: u for b, u in limit.held.items() if u > t} | {batch: until}
            pays = unpaid is None or place >= len(keys) - unpaid
            if pays and calls and not math.isinf(limit.rate):
                limit.tokens, limit.counted_at = limit.tokens_at(t) - calls, t

    def keep(self, keys: Sequence[str], batch: str, t: int, until: int) -> bool:
        """A batch that runs goes on: with its slots, or with free ones. A pause does not stop it."""
        mine = [self.limit(key) for key in keys]
        if self.may_start(keys, t, own=batch) == 0 and any(batch not in limit.slots_at(t) for limit in mine):
            return False
        for limit in mine:
            limit.held[batch] = until
        return True

    def free(self, keys: Iterable[str], batch: str) -> None:
        """A batch gives its slots back."""
        for key in keys:
            self.limit(key).held.pop(batch, None)

    def pause(self, keys: Iterable[str], until: int) -> None:
        """A tool met a limit; a pause is never shortened."""
        for key in keys:
            self.limit(key).paused_until = max(until, self.limit(key).paused_until)

    def change(self, key: str, change: LimitChange) -> None:
        """The operator sets figures."""
        limit = self.limit(key)
        limit.set_by_operator = True
        for name in ("concurrency", "rate_per_s", "burst"):
            if (value := getattr(change, name)) is not None:
                limit.own[name] = value
        if change.paused_until_ms is not None:
            limit.paused_until = change.paused_until_ms

    def clear(self, key: str) -> None:
        """The operator takes it all back."""
        limit = self.limit(key)
        limit.own, limit.paused_until, limit.set_by_operator = {}, 0, False
