"""One call in one sandbox: a fresh store and instance, `init`, the tool, and nothing left behind.

Or several calls of one batch, where the plugin has an entry point for that: `together` decides when.

Everything that may stop a guest is set before its first instruction runs, start functions included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wasmtime import WasmtimeError

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.limits import Limits
from penstock_plugins.result import ToolFailure
from penstock_workers.guard import CallGuard
from penstock_workers.guest import Answer, BadValueError, Guest, PluginInfo, StoreLimits, ToolDef
from penstock_workers.host import CallNotes
from penstock_workers.text import clean
from penstock_workers.traps import Phase, classify

if TYPE_CHECKING:
    from penstock_workers.plugin import WarmPlugin


T = TypeVar("T")

#: More than any call uses.
_UNLIMITED_FUEL = 1 << 62

#: Tools that one plugin may declare, and bytes of all that it says about them.
MAX_TOOLS = 64
MAX_DECLARED_BYTES = 1024 * 1024
#: Bytes of output that calls in one instance may give in all, where a single one may not give more.
TOGETHER_BYTES = 4 * 1024 * 1024


class Declared(NamedTuple):
    """What a guest says it is."""

    info: PluginInfo
    tools: list[ToolDef]


class Sandbox:
    """Runs calls of one plugin under one set of limits, each in a store of its own."""

    __slots__ = ("_fuel", "_guard", "_output_bytes", "_phase", "_plugin", "_store_limits")

    def __init__(self, plugin: WarmPlugin, limits: Limits, guard: CallGuard) -> None:
        self._plugin = plugin
        self._output_bytes = limits.output_bytes
        self._store_limits = StoreLimits.of(limits)
        #: How far the guest that runs has come.
        self._phase = Phase.START
        self._guard = guard
        #: A store of an engine that counts has none to begin with.
        self._fuel = (limits.fuel or _UNLIMITED_FUEL) if plugin.metered else None

    def call(
        self, tool: bytes, args_json: bytes, notes: CallNotes, *, token: str, timeout_s: float
    ) -> Answer | ToolFailure:
        """Run one call to its end. A guest's failure is returned, not raised."""

        def use(guest: Guest) -> Answer | ToolFailure:
            error = guest.init()
            if error is not None:
                return _init_failed(error)
            self._phase = Phase.CALL
            return guest.call_tool(tool, args_json, self._output_bytes)

        return self._run(use, notes, token, timeout_s)

    def call_together(
        self, tool: bytes, args_json: Sequence[bytes], notes: CallNotes, *, token: str, timeout_s: float
    ) -> list[Answer] | ToolFailure:
        """Run several calls in one instance, by its batch entry point, under the limits of one call."""

        def use(guest: Guest) -> list[Answer] | ToolFailure:
            error = guest.init()
            if error is not None:
                return _init_failed(error)
            self._phase = Phase.CALL
            return guest.call_batch(tool, args_json, max(self._output_bytes, TOGETHER_BYTES))

        return self._run(use, notes, token, timeout_s)

    def load(self, notes: CallNotes, *, timeout_s: float) -> Declared | ToolFailure:
        """Ask a guest what it is and which tools it has. The limits of a call apply."""

        def use(guest: Guest) -> Declared | ToolFailure:
            info = guest.info()
            if isinstance(info, str):
                return _init_failed(info)
            self._phase = Phase.CALL
            return Declared(info, guest.list_tools(MAX_TOOLS, MAX_DECLARED_BYTES))

        return self._run(use, notes, "load", timeout_s)

    def _run(
        self,
        use: Callable[[Guest], T | ToolFailure],
        notes: CallNotes,
        token: str,
        timeout_s: float,
    ) -> T | ToolFailure:
        plugin = self._plugin
        guard = self._guard
        guest = plugin.path.enter(self._store_limits, self._fuel)
        try:
            guard.begin(token, plugin.engine, timeout_s)
            try:
                plugin.host.notes = notes
                self._phase = Phase.START
                guest.start()
                self._phase = Phase.INIT
                return use(guest)
            except WasmtimeError as error:
                return classify(str(error), self._phase, cancelled=guard.cancelled, timeout_s=timeout_s)
            except BadValueError as error:
                return ToolFailure(code=ErrorCode.INVALID_OUTPUT, message=str(error))
            finally:
                guard.end()
                if notes.unfinished:
                    plugin.host.finish_streams()
                plugin.host.notes = None
                if self._fuel is not None:
                    notes.fuel = self._fuel - guest.fuel_left()
        finally:
            guest.close()


def _init_failed(error: str) -> ToolFailure:
    return ToolFailure(code=ErrorCode.INIT_FAILED, message=clean(f"plugin init failed: {error}"))
