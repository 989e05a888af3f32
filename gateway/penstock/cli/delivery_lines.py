"""How a tool's calls are batched, limited and tried again, in lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.cli.words import counted, size, span

if TYPE_CHECKING:
    from penstock_plugins.delivery import Batching, LimitRule
    from penstock_plugins.tool import Tool


def delivery_lines(tool: Tool) -> list[tuple[str, str]]:
    """What its plugin declares, and nothing where that is nothing."""
    delivery, lines = tool.delivery, []
    if delivery.batching.key is not None:
        lines.append(("batches", _batching(delivery.batching)))
    lines += [("limit", _limit(rule)) for rule in delivery.limits]
    if tool.traits.retryable and delivery.retry.max_attempts > 1:
        retry = delivery.retry
        first, last = min(retry.base_ms, retry.cap_ms), retry.cap_ms
        pauses = f"pauses up to {span(first / 1000)}"
        if last > first:
            pauses += f", later up to {span(last / 1000)}"
        lines.append(("retries", f"{retry.max_attempts} attempts, {pauses}"))
    return lines


def _batching(batching: Batching) -> str:
    return (
        f"by {batching.key}: up to {counted(batching.max_size, 'call')} or {size(batching.max_bytes)}, "
        f"after {span(batching.max_wait_ms / 1000)} at the latest"
    )


def _limit(rule: LimitRule) -> str:
    figures = []
    if rule.concurrency is not None:
        figures.append(f"{counted(rule.concurrency, 'batch', 'batches')} at once")
    if rule.rate_per_s is not None:
        burst = "" if rule.burst is None else f", {rule.burst} in a burst"
        figures.append(f"{rule.rate_per_s:g} calls/s{burst}")
    return f"{rule.key}: {'; '.join(figures) or 'set by the operator'}"
