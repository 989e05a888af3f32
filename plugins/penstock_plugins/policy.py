"""What a manifest asks for, what the operator allows, and what is left when both are met.

Grants are computed at the worker from the manifest it verified and the operator's own settings; a message
can only narrow them further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock_plugins.limits import Limits

#: The capabilities that exist. `http`, `fs` and `role-orchestration` are known names that nothing grants yet.
KNOWN_CAPABILITIES: frozenset[str] = frozenset({"log", "env", "http", "role-orchestration", "fs", "wasi"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPolicy:
    """What the operator of this host allows a plugin, whatever its manifest asks for."""

    #: Capabilities that any plugin may have when its manifest asks.
    capabilities: frozenset[str] = frozenset({"log"})
    #: Values of `env-get`, by name; the manifest's allow-list applies as well.
    env: Mapping[str, str] = field(default_factory=dict)
    #: No call gets more than this.
    limits: Limits = field(default_factory=lambda: Limits(timeout_s=300.0, memory_bytes=512 * 1024 * 1024))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What one call really has: manifest ∩ operator ∩ submission."""

    capabilities: frozenset[str]
    #: What `env-get` may see: names that the manifest allows and the operator set.
    env: Mapping[str, str]
    limits: Limits
