"""A worker without a sandbox: claims from the real ledger, calls Python functions, commits results.

For tests of what producers see. It hears no doorbells and looks at the open batches itself; the worker that
ships is tested by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import orjson
import redis

from penstock_broker_config.envelope import Signer
from penstock_broker_config.envelope_reading import read_calls, read_header
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimState, ClaimTerms, Commit, Ledger, RecordKind
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import bundle_from
from penstock_plugins.errors import ParamsError, ToolError
from penstock_plugins.record import PluginRecord
from penstock_plugins.result import ToolFailure, to_record
from penstock_plugins.tool import Tool, Traits

LEASE_S = 5.0
#: Calls between two commits.
COMMIT_CALLS = 32
_IDLE_S = 0.002

Function = Callable[[dict[str, Any]], Any]


def publish(
    client: redis.Redis,
    *tools: str,
    plugin: str = "demo",
    version: str = "1.0.0",
    keys: Keys | None = None,
    wasm: str = "",
    traits: Traits | None = None,
    parameters: dict[str, Any] | None = None,
) -> PluginRecord:
    """Put a plugin with these tools into the catalog; its artifact is never run."""
    manifest = f'name = "{plugin}"\nversion = "{version}"\n[wasm]\n{wasm}\n'
    bundle = bundle_from({"plugin.toml": manifest.encode(), "plugin.wasm": b"no artifact"})
    return RedisCatalog(client, keys or Keys()).publish(
        bundle,
        [
            Tool(
                name=tool,
                plugin=plugin,
                version=version,
                traits=traits or Traits(idempotent=True),
                parameters=parameters or {"type": "object"},
            )
            for tool in tools
        ],
    )


class LedgerWorker:
    """Runs every open batch, in a thread of its own.

    Args:
        url: the ledger's Redis.
        tools: what is called, by full name. A `ToolError` that it raises is the call's failure.
        secret: the signing key. None: calls are not signed.
        cost_us: what it says that a call costs. None: nothing.
    """

    def __init__(
        self,
        url: str,
        tools: Mapping[str, Function],
        *,
        secret: bytes | None = None,
        cost_us: float | None = None,
        keys: Keys | None = None,
    ) -> None:
        self._client = redis.Redis.from_url(url)
        self._keys = keys or Keys()
        self._ledger = Ledger(self._client, self._keys)
        self._tools = tools
        self._signer = Signer(secret)
        self._cost_us = cost_us
        self._stop = threading.Event()
        #: Held while batches are looked for and run.
        self._at_work = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-worker", daemon=True)
        #: Nothing is claimed while it is not set; see `hold`.
        self.open = threading.Event()
        self.open.set()
        #: Size of each batch that was claimed.
        self.batches: list[int] = []

    def __enter__(self) -> LedgerWorker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def hold(self) -> None:
        """Claim nothing that comes from here on, until it is `open` again."""
        self.open.clear()
        with self._at_work:
            pass  # it has finished what it had found before

    def _run(self) -> None:
        claims = 0
        while not self._stop.is_set():
            worked = False
            with self._at_work, suppress(redis.ConnectionError):
                for batch_id in self._open_batches():
                    claims += 1
                    worked |= self._serve(batch_id, f"test:1:1#{claims}")
            if not worked:
                self._stop.wait(_IDLE_S)

    def _open_batches(self) -> list[str]:
        if not self.open.is_set():
            return []
        ids: Any = self._client.zrange(self._keys.open, 0, 3)
        return [batch_id.decode() for batch_id in ids]

    def _serve(self, batch_id: str, holder: str) -> bool:
        claim = self._ledger.claim(batch_id, ClaimTerms(holder=holder, lease_s=LEASE_S, max_attempts=3))
        if claim.state is not ClaimState.GRANTED:
            return False
        header, calls = read_header(claim.header), read_calls(claim.calls)
        self.batches.append(len(calls))
        position, answer = claim.recorded, Commit.OK
        while position < len(calls) and answer is Commit.OK:
            records = []
            for call in calls[position : position + COMMIT_CALLS]:
                self._signer.check(claim.header, call)
                records.append(self._call(self._tools[header.tool], call.params))
            answer = self._ledger.commit(
                batch_id,
                records,
                fence=claim.fence,
                position=position,
                lease_s=LEASE_S,
                cost_field=f"{header.digest}:{header.tool}",
                cost_us=self._cost_us,
            )
            position += len(records)
        return True

    def _call(self, function: Function, params: str) -> tuple[RecordKind, bytes]:
        try:
            values = orjson.loads(params)
            if not isinstance(values, dict):
                raise ParamsError(f"$: {params} is not of type object")
            content = orjson.dumps(function(values))
        except ToolError as error:
            return RecordKind.FAILURE, to_record(
                content=None, error=ToolFailure.from_exception(error), metadata={}
            )
        return RecordKind.SUCCESS, to_record(content=content, error=None, metadata={})
