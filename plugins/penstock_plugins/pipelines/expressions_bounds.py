"""What an expression may cost: figures, and how values are weighed against them."""

from __future__ import annotations

from typing import Any

from penstock_plugins.nesting import MAX_NESTING, nests_too_deep

#: Elements of a list or table that an expression takes apart at most.
MAX_LIST = 10_000
#: Bytes of JSON, roughly, that one template makes at most.
MAX_OUTPUT_BYTES = 1024 * 1024
#: Steps that the JMESPath of one template takes at most.
MAX_VISITS = 200_000
#: What anything but a text or a key counts for.
_NODE_BYTES = 4


class TooLargeError(ValueError):
    """An expression would cost or make more than it may."""


class Budget:
    """What is left of one evaluation."""

    __slots__ = ("output_bytes", "visits")

    def __init__(self) -> None:
        self.output_bytes = MAX_OUTPUT_BYTES
        self.visits = MAX_VISITS


def weigh(value: Any, limit: int) -> int:
    """Roughly the bytes of a value as JSON; walks no further than the limit.

    Raises:
        TooLargeError: it has more than `limit`, or is nested too deep.
    """
    whole, containers = value, 0
    if type(value) is str:
        total, waiting = len(value), []
    else:
        total, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        total += _NODE_BYTES
        if type(value) is str:
            total += len(value)
        elif type(value) is dict:
            containers += 1
            for key, item in value.items():
                total += len(key)
                waiting.append(item)
        elif type(value) is list:
            containers += 1
            total += len(value) * _NODE_BYTES
            if total <= limit:
                waiting.extend(value)
        if total > limit:
            break
    if total > limit:
        raise TooLargeError(f"it makes more than {MAX_OUTPUT_BYTES // 1024} KiB")
    if containers > MAX_NESTING:
        check_nesting(whole)
    return total


def check_nesting(value: Any) -> None:
    """Refuse a value that could not be kept.

    Raises:
        TooLargeError: it is nested too deep.
    """
    if nests_too_deep(value):
        raise TooLargeError(f"it is nested more than {MAX_NESTING} levels deep")
