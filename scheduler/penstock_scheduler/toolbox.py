"""What a producer knows of the catalog: which tools there are, and what their params must look like.

Read from the catalog once and kept; every answer to a submit says how often the catalog has changed, so a
publish is noticed without asking. A tool that is not found makes it look again at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from penstock_plugins.delivery import Batching, LimitRule
from penstock_plugins.errors import CatalogError, InvalidPipelineError, ToolNotFoundError
from penstock_plugins.index import ResolvedTool, ToolIndex
from penstock_plugins.record import PluginRecord
from penstock_plugins.schema import ParamsSchema
from penstock_plugins.tool import Tool
from penstock_scheduler.flow import Flow, ask

T = TypeVar("T")

#: Seconds after which the catalog's counter is looked at, when no submit has told it.
LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool with its plugin pinned, ready to be submitted to."""

    #: `plugin.tool`.
    full_name: str
    #: sha256 of the plugin's bundle.
    digest: str
    #: A call that may have been started must not be started again.
    once: bool
    #: The worker pool that the manifest asks for. None: any.
    pool: str | None
    #: Bytes of params that the tool takes, as JSON.
    params_bytes: int
    schema: ParamsSchema
    #: How its calls are batched and limited, as the plugin declares it.
    batching: Batching | None = None
    limits: tuple[LimitRule, ...] = ()
    #: A call that is run again changes nothing.
    idempotent: bool = False
    #: Of a composite tool: its pipeline, as JSON values.
    pipeline: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """The catalog as it was read; replaced as a whole, so that threads may share a toolbox."""

    version: int
    records: list[PluginRecord]
    index: ToolIndex
    uses: dict[tuple[str, str], ToolUse] = field(default_factory=dict)


class Toolbox:
    """Finds tools by name, reading the catalog when it must.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shelf: _Shelf | None = None
        self._looked_s = 0.0

    def find(self, name: str) -> Flow[ToolUse]:
        """The tool that a name means: `plugin.tool`, `plugin@version.tool`, or `tool` where that is clear.

        Raises:
            ToolNotFoundError: there is none, or several; the message names the candidates.
            TypeError: it is no name.
        """
        if not isinstance(name, str):
            raise TypeError(
                f'say what is to be called as "plugin.tool", or give a penstock.Pipeline '
                f"(Pipeline.from_dict, of a dict), not {type(name).__name__}"
            )
        return (yield from self._make(lambda shelf: _use(shelf, shelf.index.resolve(name))))

    def with_tools(self, make: Callable[[ToolIndex], T]) -> Flow[T]:
        """What is made of the tools that there are; once more of what is new, when that failed."""
        return (yield from self._make(lambda shelf: make(shelf.index)))

    def pinned(self, full_name: str, digest: str) -> Flow[ToolUse]:
        """The tool of one plugin bundle, whatever was published since.

        Raises:
            CatalogError: the catalog does not have that bundle any more.
        """
        shelf = yield from self._current()
        for record in shelf.records:
            if record.digest == digest:
                for tool in record.tools:
                    if tool.full_name == full_name:
                        return _use(shelf, ResolvedTool(tool=tool, digest=digest, record=record))
        raise CatalogError(f"The catalog does not have {full_name} of plugin {digest[:12]} any more")

    def tools(self) -> Flow[list[Tool]]:
        """Every tool that a name without a version can mean, sorted by name."""
        shelf = yield from self._read()
        return shelf.index.tools()

    def notice(self, version: int) -> None:
        """The ledger said how often the catalog has changed."""
        shelf = self._shelf
        if shelf is not None and shelf.version == version:
            self._looked_s = self._clock()
        else:
            self._shelf = None

    def _make(self, make: Callable[[_Shelf], T]) -> Flow[T]:
        before = self._shelf
        shelf = yield from self._current()
        try:
            return make(shelf)
        except (ToolNotFoundError, InvalidPipelineError):
            if shelf is not before:
                raise
        return make((yield from self._read()))

    def _current(self) -> Flow[_Shelf]:
        shelf = self._shelf
        if shelf is None:
            return (yield from self._read())
        if self._clock() - self._looked_s > LOOK_AGAIN_S:
            self._looked_s = self._clock()  # first, so that of many at once only one asks
            version = yield from ask(lambda wire: wire.catalog_version())
            if version != shelf.version:
                return (yield from self._read())
        return shelf

    def _read(self) -> Flow[_Shelf]:
        version, records = yield from ask(lambda wire: wire.catalog())
        shelf = _Shelf(version=version, records=records, index=ToolIndex(records))
        self._shelf, self._looked_s = shelf, self._clock()
        return shelf


def _use(shelf: _Shelf, resolved: ResolvedTool) -> ToolUse:
    tool = resolved.tool
    key = (resolved.digest, tool.name)
    use = shelf.uses.get(key)
    if use is None:
        manifest = resolved.record.manifest
        table = manifest.tool_table(tool.name)
        use = shelf.uses[key] = ToolUse(
            full_name=tool.full_name,
            digest=resolved.digest,
            once=tool.traits.once_only,
            idempotent=tool.traits.idempotent,
            pool=manifest.wasm.pool,
            params_bytes=manifest.limits().params_bytes,
            schema=ParamsSchema(tool.parameters),
            batching=None if table is None else table.batching(),
            pipeline=resolved.record.pipelines.get(tool.name),
            limits=() if table is None else tuple(limit.rule() for limit in table.limits),
        )
    return use
