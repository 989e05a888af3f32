"""Says where each setting's value came from, for `penstock config` (G-1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import SecretStr
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from penstock_broker_config.settings import PROJECT_FILE, Settings
from penstock_broker_config.urls import redacted

MASK = "***"


class Origin(NamedTuple):
    """One setting."""

    name: str
    #: As JSON values; secrets and passwords are masked.
    value: Any
    #: "argument", "environment PENSTOCK_…", a file, or "default"; several where tables were merged.
    source: str


def origins(settings: Settings, arguments: Mapping[str, Any]) -> list[Origin]:
    """Every setting of a process with its source, in the order of the settings.

    Args:
        settings: what was loaded.
        arguments: what was given to `load_settings`; None stands for not given.
    """
    layers = list(_layers(arguments))
    found = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        sources = [source for source, given in layers if name in given] or ["default"]
        # Tables of several sources merge; of everything else the strongest source wins.
        source = ", ".join(sources) if isinstance(value, dict) else sources[0]
        found.append(Origin(name, _shown(value), source))
    return found


def _layers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each source's name and what it gives, the strongest first."""
    yield "argument", {name: value for name, value in arguments.items() if value is not None}
    for name, value in EnvSettingsSource(Settings)().items():
        yield f"environment PENSTOCK_{name.upper()}", {name: value}
    yield str(PROJECT_FILE), TomlConfigSettingsSource(Settings, PROJECT_FILE)()
    yield str(Settings.user_file), TomlConfigSettingsSource(Settings, Settings.user_file)()


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, str):
        return redacted(value) if "://" in value else value
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [_shown(item) for item in value]
    if hasattr(value, "model_dump"):
        # What `env-get` may answer is the operator's secret as likely as not.
        return {
            name: dict.fromkeys(item, MASK) if name == "env" else _shown(item)
            for name, item in value.model_dump().items()
        }
    return value if value is None or isinstance(value, bool | int | float) else str(value)
