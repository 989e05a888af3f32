"""What is recorded of an item at its end (L-2): `{success, data, error?, trace, filtered}`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.result import to_record


def record_of(item: ItemState, traces: Iterable[Trace], metadata: dict[str, Any]) -> bytes:
    """The record of an item that has ended, as the ledger keeps results.

    Args:
        item: it.
        traces: what each stage added, in their order.
        metadata: fields of `ResultMetadata` that differ from their defaults.
    """
    return to_record(
        content=orjson.dumps(item.data) if item.failure is None else None,
        error=item.failure,
        metadata=metadata,
        trace=[entry for trace in traces for entry in trace],
        filtered=item.status is ItemStatus.FILTERED,
    )
