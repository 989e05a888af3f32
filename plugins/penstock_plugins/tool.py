"""What a caller names and calls."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from penstock_plugins.delivery import Delivery

#: Names of tools inside their plugin.
TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a tool does to the world, and whether it may be run again."""

    writes_files: bool = False
    executes_commands: bool = False
    accesses_network: bool = False
    #: Running it twice has the effect of running it once.
    idempotent: bool = False
    #: It may be run again after it may have been started, although its effects may double.
    retryable: bool = False

    @property
    def once_only(self) -> bool:
        """Whether a call that may have been started must never be started again."""
        return not (self.idempotent or self.retryable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool as its plugin declares it."""

    #: Name inside the plugin.
    name: str
    #: Name of the plugin it belongs to.
    plugin: str
    description: str = ""
    #: Semantic version, the plugin's.
    version: str = "0.0.0"
    #: JSON Schema 2020-12 of the params; its type is object.
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object"})
    traits: Traits = field(default_factory=Traits)
    #: A human-readable name; the guest's `label`.
    label: str = ""
    #: How its calls are batched, limited and tried again.
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def full_name(self) -> str:
        """`plugin.tool`."""
        return f"{self.plugin}.{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` reads it back."""
        shape = {f.name: getattr(self, f.name) for f in fields(self)}
        # `asdict` would copy the schema, which a guest may have nested deeper than it can follow.
        return {**shape, "traits": asdict(self.traits), "delivery": self.delivery.to_dict()}

    @classmethod
    def from_dict(cls, shape: dict[str, Any]) -> Tool:
        """The tool that `to_dict` wrote.

        Raises:
            ValueError: it is none.
        """
        texts = {f.name for f in fields(cls)} - {"parameters", "traits", "delivery"}
        traits, parameters = shape.get("traits", {}), shape.get("parameters", {})
        if (
            not set(shape) <= texts | {"parameters", "traits", "delivery"}
            or not all(isinstance(shape.get(name, ""), str) for name in texts)
            or not TOOL_NAME.fullmatch(shape.get("name", ""))
            or not isinstance(shape.get("plugin"), str)
            or not isinstance(parameters, dict)
            or not isinstance(traits, dict)
            or not set(traits) <= {f.name for f in fields(Traits)}
            or not all(isinstance(holds, bool) for holds in traits.values())
        ):
            raise ValueError("it is no tool's declaration")
        delivery = Delivery.from_dict(shape.get("delivery", {}))
        return cls(**{**shape, "traits": Traits(**traits), "delivery": delivery})
