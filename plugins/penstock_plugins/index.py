"""Finds the tool that a name means: `plugin.tool`, `plugin@version.tool`, or its own name (T-1, I-5)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.printable import printable
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool
from penstock_plugins.versions import by_precedence, highest_release


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTool:
    """A tool, and the plugin whose digest a call of it is pinned to."""

    tool: Tool
    #: sha256 of the plugin's bundle.
    digest: str
    record: PluginRecord


class ToolIndex:
    """The tools of a catalog by name.

    Args:
        records: of what is published.
        advice: what to do about a name that is like none of them.
    """

    def __init__(
        self, records: Iterable[PluginRecord], *, advice: str = "List the known ones with `penstock tools`"
    ) -> None:
        self._advice = advice
        #: By plugin and version.
        self._releases: dict[str, dict[str, PluginRecord]] = {}
        for record in records:
            self._releases.setdefault(record.name, {})[record.version] = record
        #: The release that a name without a version means.
        self._current = {
            name: releases[highest_release(list(releases))] for name, releases in self._releases.items()
        }
        self._owners: dict[str, list[str]] = {}
        for name, record in sorted(self._current.items()):
            for tool in record.tools:
                self._owners.setdefault(tool.name, []).append(name)

    def tools(self) -> list[Tool]:
        """The tools of each plugin's highest release, by full name."""
        return sorted(
            (tool for record in self._current.values() for tool in record.tools), key=lambda t: t.full_name
        )

    def resolve(self, name: str) -> ResolvedTool:
        """The tool that a name means.

        Raises:
            ToolNotFoundError: none, or more than one; names what there is.
        """
        plugin, version, tool = self._split(name)
        releases = self._releases.get(plugin)
        if releases is None:
            raise self._unknown(name)
        record = self._current[plugin] if version is None else releases.get(version)
        if record is None:
            known = ", ".join(sorted(releases, key=by_precedence))
            raise _not_found(name, f"{plugin} is published as {known}: use {plugin}@VERSION.TOOL")
        for candidate in record.tools:
            if candidate.name == tool:
                return ResolvedTool(tool=candidate, digest=record.digest, record=record)
        if version is not None:
            raise _not_found(name, f"{plugin} {version} has {', '.join(t.name for t in record.tools)}")
        raise self._unknown(name)

    def _split(self, name: str) -> tuple[str, str | None, str]:
        """Plugin, version and tool of a name; a short name gets the plugin that has such a tool."""
        plugin, at, rest = name.partition("@")
        if at:  # versions have dots, tools have none
            version, _, tool = rest.rpartition(".")
            return plugin, version, tool
        plugin, dot, tool = name.partition(".")
        if dot:
            return plugin, None, tool
        owners = self._owners.get(name, [])
        if len(owners) > 1:
            candidates = ", ".join(f"{owner}.{name}" for owner in owners)
            raise _not_found(name, f"More than one plugin has it: use one of {candidates}")
        if not owners:
            raise self._unknown(name)
        return owners[0], None, name

    def _unknown(self, name: str) -> ToolNotFoundError:
        known = [tool.full_name for tool in self.tools()]
        close = difflib.get_close_matches(name[:200], known, n=3)
        close += [full for full in known if full not in close and _alike(name, full)][: 3 - len(close)]
        if close:
            return _not_found(name, f"Did you mean {' or '.join(close)}?")
        return _not_found(name, self._advice)


def _alike(name: str, full_name: str) -> bool:
    """Whether the tool's own name is nearly what was asked for, in whatever plugin."""
    asked, has = name[:200].rpartition(".")[2], full_name.rpartition(".")[2]
    return bool(difflib.get_close_matches(asked, [has], n=1, cutoff=0.75))


def _not_found(name: str, advice: str) -> ToolNotFoundError:
    return ToolNotFoundError(f"Unknown tool: {printable(name)}. {advice}")
