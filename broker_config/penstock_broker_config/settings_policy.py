"""What an operator allows plugins, as settings say it: all of them, and each in a table of its own."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from penstock_plugins.errors import ConfigurationError
from penstock_plugins.limits import Limits
from penstock_plugins.policy import KNOWN_CAPABILITIES, OperatorPolicy


def _known(names: frozenset[str]) -> frozenset[str]:
    if unknown := sorted(names - KNOWN_CAPABILITIES):
        raise ValueError(
            f"nobody knows the capability '{unknown[0]}'; there are {', '.join(sorted(KNOWN_CAPABILITIES))}"
        )
    return names


Capabilities = Annotated[frozenset[str], AfterValidator(_known)]


class PluginPolicy(BaseModel):
    """`[plugins.NAME]`: what the operator allows one plugin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Replaces `capabilities` for this plugin.
    capabilities: Capabilities | None = None
    #: What `env-get` may answer; the manifest's allow-list applies as well.
    env: dict[str, str] = Field(default_factory=dict)
    #: Narrows `[limits]` for this plugin.
    limits: dict[str, float] = Field(default_factory=dict)
    #: Replaces `batch_entry_point` for this plugin.
    batch_entry_point: bool | None = None


def policy_of(
    plugin: str,
    own: PluginPolicy,
    *,
    capabilities: frozenset[str],
    limits: dict[str, float],
    batch_entry_point: bool,
) -> OperatorPolicy:
    """What the operator allows a plugin.

    Args:
        plugin: its name.
        own: its table.
        capabilities: of all plugins, as are the other two.
        limits: fields of `Limits`.
        batch_entry_point: whether calls may share an instance.

    Raises:
        ConfigurationError: a limit that does not exist, or whose value is none; begins with its name.
    """
    narrowed = _limits(OperatorPolicy().limits, limits, "limits")
    return OperatorPolicy(
        capabilities=capabilities if own.capabilities is None else own.capabilities,
        env=dict(own.env),
        limits=_limits(narrowed, own.limits, f"plugins.{plugin}.limits"),
        batch_entry_point=batch_entry_point if own.batch_entry_point is None else own.batch_entry_point,
    )


def _limits(base: Limits, values: dict[str, float], table: str) -> Limits:
    fields: dict[str, Any] = {name: getattr(base, name) for name in Limits.__slots__}
    for name, value in values.items():
        if name not in fields:
            raise ConfigurationError(f"{table}.{name}: no such limit; known are {', '.join(sorted(fields))}")
        if not 0 < value < math.inf:
            raise ConfigurationError(f"{table}.{name}: must be a number greater than 0, got {value}")
        fields[name] = value if name == "timeout_s" else int(value)
    return Limits(**fields)
