"""One call in one sandbox: a fresh store and instance, `init`, the tool, and nothing left behind.

Everything that may stop a guest is set before its first instruction runs, start functions included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wasmtime import Store, WasmtimeError

from penstock_plugins.errors import ErrorCode
from penstock_plugins.limits import Limits
from penstock_plugins.result import ToolFailure
from penstock_workers.guard import EPOCH_STEPS, CallGuard
from penstock_workers.guest import Guest
from penstock_workers.host import CallNotes
from penstock_workers.text import clean
from penstock_workers.traps import Phase, classify

if TYPE_CHECKING:
    from penstock_workers.plugin import WarmPlugin


class Answer(NamedTuple):
    """What a guest returned, unread."""

    content: str
    is_error: bool


class Sandbox:
    """Runs calls of one plugin under one set of limits, each in a store of its own."""

    __slots__ = ("_fuel", "_guard", "_limits", "_plugin")

    def __init__(self, plugin: WarmPlugin, limits: Limits, guard: CallGuard) -> None:
        self._plugin = plugin
        self._limits = limits
        self._guard = guard
        self._fuel = limits.fuel if plugin.metered else None

    def call(
        self, tool: str, args_json: str, notes: CallNotes, *, token: str, timeout_s: float
    ) -> Answer | ToolFailure:
        """Run one call to its end. A guest's failure is returned, not raised."""
        with self._new_store() as store:
            self._plugin.host.notes = notes
            self._guard.begin(token, self._plugin.engine, timeout_s)
            try:
                return self._run(store, tool, args_json, timeout_s)
            finally:
                self._guard.end()
                if notes.unfinished:
                    self._plugin.host.finish_streams()
                self._plugin.host.notes = None
                if self._fuel is not None:
                    notes.fuel = self._fuel - store.get_fuel()

    def _run(self, store: Store, tool: str, args_json: str, timeout_s: float) -> Answer | ToolFailure:
        plugin = self._plugin
        phase = Phase.START
        try:
            guest = Guest(store, plugin.linker, plugin.component, plugin.exports)
            phase = Phase.INIT
            info = guest.init()
            if isinstance(info, str):
                return ToolFailure(code=ErrorCode.INIT_FAILED, message=clean(f"plugin init failed: {info}"))
            phase = Phase.CALL
            return Answer(*guest.call_tool(tool, args_json))
        except WasmtimeError as error:
            return classify(str(error), phase, cancelled=self._guard.cancelled, timeout_s=timeout_s)

    def _new_store(self) -> Store:
        limits = self._limits
        store = Store(self._plugin.engine)
        store.set_limits(
            memory_size=limits.memory_bytes,
            table_elements=limits.table_elements,
            instances=limits.instances,
            tables=limits.tables,
            memories=limits.memories,
        )
        if self._fuel is not None:
            store.set_fuel(self._fuel)
        store.set_epoch_deadline(EPOCH_STEPS)
        return store
