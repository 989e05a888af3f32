"""What a manifest asks for, what the operator allows, and what is left when both are met.

Grants are computed at the worker from the manifest it verified and the operator's own settings; a message
can only narrow them further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from penstock_plugins.errors import ManifestError
from penstock_plugins.limits import MIB, Limits
from penstock_plugins.manifest import Manifest

#: The capabilities that exist.
KNOWN_CAPABILITIES: frozenset[str] = frozenset({"log", "env", "http", "role-orchestration", "fs", "wasi"})
#: Those of them with nothing behind them yet, whoever grants them.
FUTURE_CAPABILITIES: frozenset[str] = frozenset({"http", "role-orchestration", "fs"})

#: What an operator who says nothing allows. A manifest that says nothing gets the smaller `Limits()`.
WIDEST_LIMITS = Limits(
    timeout_s=300.0,
    memory_bytes=512 * MIB,
    memories=8,
    tables=64,
    instances=128,
    table_elements=1_000_000,
    output_bytes=8 * MIB,
    log_lines=10_000,
    log_bytes=MIB,
    params_bytes=8 * MIB,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPolicy:
    """What the operator of this host allows a plugin, whatever its manifest asks for."""

    #: Capabilities that any plugin may have when its manifest asks.
    capabilities: frozenset[str] = frozenset({"log"})
    #: Values of `env-get`, by name; the manifest's allow-list applies as well.
    env: Mapping[str, str] = field(default_factory=dict)
    #: No call gets more than this.
    limits: Limits = WIDEST_LIMITS
    #: Whether calls of one batch may share an instance where a plugin is made for it.
    batch_entry_point: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What one call really has: manifest ∩ operator ∩ submission."""

    capabilities: frozenset[str]
    #: What `env-get` may see: names that the manifest allows and the operator set.
    env: Mapping[str, str]
    limits: Limits


def narrow(manifest: Manifest, operator: OperatorPolicy, *, timeout_s: float | None = None) -> Grants:
    """What a call of this plugin really has: what its manifest asks for, as far as the operator allows it.

    Args:
        manifest: what the plugin asks for.
        operator: what may be had.
        timeout_s: the submission's own limit of one execution.
    """
    capabilities = frozenset(manifest.wasm.capabilities) & operator.capabilities & KNOWN_CAPABILITIES
    env: dict[str, str] = {}
    if "env" in capabilities:
        offered = {**manifest.wasm.env.set, **operator.env}
        env = {name: offered[name] for name in manifest.wasm.env.allow if name in offered}
    limits = manifest.limits().narrowed(operator.limits)
    if timeout_s is not None and timeout_s < limits.timeout_s:
        limits = replace(limits, timeout_s=timeout_s)
    return Grants(capabilities=capabilities, env=env, limits=limits)


def unknown_capabilities(manifest: Manifest, *, strict: bool = False) -> tuple[str, ...]:
    """What the manifest asks for that does not exist (W-3): worth a warning, since nothing grants it.

    Args:
        manifest: what the plugin asks for.
        strict: refuse it instead.

    Raises:
        ManifestError: under `strict`, when there is any.
    """
    unknown = tuple(name for name in manifest.wasm.capabilities if name not in KNOWN_CAPABILITIES)
    if strict and unknown:
        known = ", ".join(sorted(KNOWN_CAPABILITIES))
        raise ManifestError(f"Unknown capabilities: {', '.join(unknown)}; known are {known}")
    return unknown
