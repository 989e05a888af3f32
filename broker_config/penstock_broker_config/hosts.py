"""What workers say of their hosts, so that a call which ended one can be run again under the same rules.

One record for each host (as lease holders name it), written by each worker that starts there; the last one
stays. It has names of environment variables and no values, and no key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock_broker_config.keys import Keys
from penstock_broker_config.settings_policy import PluginPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis

    from penstock_broker_config.settings import Settings

#: Seconds for which a host is remembered after its last worker began.
HOST_TTL_S = 30 * 86_400


class HostPlugin(BaseModel):
    """What the operator of a host allows one plugin."""

    model_config = ConfigDict(frozen=True)

    capabilities: frozenset[str] | None = None
    limits: dict[str, float] = Field(default_factory=dict)
    #: Names of variables that have a value there.
    env: tuple[str, ...] = ()


class HostRecord(BaseModel):
    """A host on which calls run."""

    model_config = ConfigDict(frozen=True)

    penstock: str = ""
    wasmtime: str = ""
    cpu: str = ""
    #: Fingerprints of the engines: without and with counted instructions.
    engines: Annotated[dict[str, str], Field(default_factory=dict)]
    sandbox_path: str = "auto"
    grace_s: float = 2.0
    capabilities: frozenset[str] = frozenset()
    limits: dict[str, float] = Field(default_factory=dict)
    plugins: dict[str, HostPlugin] = Field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, **facts: Any) -> HostRecord:
        """The record of a host with these settings."""
        return cls(
            sandbox_path=settings.sandbox_path,
            grace_s=settings.overrun_grace_s,
            capabilities=settings.capabilities,
            limits=settings.limits,
            plugins={
                name: HostPlugin(capabilities=own.capabilities, limits=own.limits, env=tuple(own.env))
                for name, own in settings.plugins.items()
            },
            **facts,
        )

    def settings(self, base: Settings) -> Settings:
        """`base` with the policy of that host; the values of its environment variables are not known."""
        plugins = {
            name: PluginPolicy(
                capabilities=own.capabilities, limits=own.limits, env=dict.fromkeys(own.env, "")
            )
            for name, own in self.plugins.items()
        }
        policy = {"capabilities": self.capabilities, "limits": self.limits, "plugins": plugins}
        return base.model_copy(update=policy)


def host_of(holder: str) -> str:
    """The host in a lease holder's name, `host.boot.namespace:pid:start#claim`."""
    return holder.partition(":")[0]


def announce_host(client: redis.Redis, keys: Keys, host: str, record: HostRecord) -> None:
    """Say what a host is like."""
    client.set(keys.host(host), record.model_dump_json(), ex=HOST_TTL_S)


def known_hosts(client: redis.Redis, keys: Keys) -> list[str]:
    """Names of the hosts on which workers have started in the last thirty days."""
    beginning = keys.host("")
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", beginning) + "*"
    found = cast("Iterable[bytes]", client.scan_iter(match=pattern, count=10_000))
    return sorted({name.decode(errors="replace").removeprefix(beginning) for name in found})


def find_host(client: redis.Redis, keys: Keys, host: str) -> HostRecord | None:
    """What a host's workers said of it. None: nothing that can be read."""
    text = cast("bytes | None", client.get(keys.host(host)))
    if text is None:
        return None
    try:
        return HostRecord.model_validate_json(text)
    except ValidationError:
        return None
