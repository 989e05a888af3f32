"""What the worker's parent knows of plugins before it forks: read and compiled once, for all pool processes.

Reading a record and compiling its schemas took each pool process a megabyte of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_plugins.errors import ToolNotReadyError
from penstock_workers.plugin import WarmTool, warm_tools

if TYPE_CHECKING:
    from penstock_plugins.record import PluginRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPlugin:
    """A plugin as far as it needs no wasmtime."""

    record: PluginRecord
    #: By name, each with the compiled schema of its params.
    tools: Mapping[str, WarmTool]


#: By digest.
KnownPlugins = Mapping[str, KnownPlugin]


def know(records: Iterable[PluginRecord]) -> KnownPlugins:
    """Make the tools of these. One whose schemas cannot be used is left out, and says so when it is loaded.

    Args:
        records: With the manifests that were verified.
    """
    known = {}
    for record in records:
        try:
            known[record.digest] = KnownPlugin(record=record, tools=warm_tools(record))
        except ToolNotReadyError:
            continue
    return known
