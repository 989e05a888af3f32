"""What a reproduction says of its call: under which rules it ran, on what host, and with which bundle.

It holds names of environment variables and never their values, no key, no signature and no session.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from penstock_plugins.bundle import Bundle
from penstock_plugins.limits import Limits

#: Schema of `call.json`. A release reads its own and says so when it meets another.
CASE_VERSION = 1

_Text = Annotated[str, Field(max_length=512)]
_Names = Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=256)]


class Frozen(BaseModel):
    """Clocks and random numbers that repeat."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Seconds since 1970 at which the call begins.
    at_s: Annotated[float, Field(ge=0, le=1e11)] = 0.0
    seed: int = 0


class Case(BaseModel):
    """`call.json` of a reproduction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    #: `JOB.INDEX`, and the full name `plugin.tool`.
    call: _Text
    tool: Annotated[str, Field(pattern=r"^[^.\s]{1,64}\.[^.\s]{1,64}$")]
    #: sha256 of the plugin's bundle.
    plugin_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    #: sha256 of the params' text.
    params_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tenant: _Text = ""
    #: Workers that it lost, when it was set aside (milliseconds since 1970), and who ran it last.
    attempts: int = 0
    set_aside_ms: int = 0
    last_holder: _Text = ""

    #: What it really had: manifest ∩ operator ∩ submission.
    timeout_s: Annotated[float, Field(gt=0, le=86_400)]
    capabilities: _Names = ()
    #: Names that `env-get` could see. Their values are not here.
    env: _Names = ()
    limits: dict[Annotated[str, Field(max_length=64)], float | int | None]

    #: The engine: whether instructions were counted, and a fingerprint of all that its code depends on.
    metered: bool = False
    engine: _Text = ""
    sandbox_path: Literal["auto", "lean", "public"] = "auto"
    #: Seconds of grace after the timeout before the process was ended.
    grace_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    #: None: the host's own clocks and random numbers.
    frozen: Frozen | None = None

    #: Versions and CPU of the host that ran it, or where `host` says so, of the one that wrote this.
    penstock: _Text = ""
    wasmtime: _Text = ""
    cpu: _Text = ""
    #: "worker": what that worker said of itself. "exporter": the worker is not known any more.
    host: Literal["worker", "exporter"] = "exporter"

    @field_validator("limits")
    @classmethod
    def _known_limits(cls, value: dict[str, float | int | None]) -> dict[str, float | int | None]:
        known = {field.name for field in fields(Limits)}
        if unknown := sorted(set(value) - known):
            raise ValueError(f"there is no limit {unknown[0]!r}")
        for name, figure in value.items():
            if figure is None and name == "fuel":
                continue
            if figure is None or not 0 < figure < math.inf:
                raise ValueError(f"{name} must be a number greater than 0")
        return value

    @property
    def call_limits(self) -> Limits:
        """The limits; what is not there is as in a manifest that says nothing."""
        figures = {
            name: figure if figure is None or name == "timeout_s" else int(figure)
            for name, figure in self.limits.items()
        }
        return Limits(**figures)  # type: ignore[arg-type]  # the names were checked, and each is a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """Everything that is needed to run one call again."""

    case: Case
    #: As they were submitted: JSON text, or what was sent in its place.
    params: bytes
    bundle: Bundle
