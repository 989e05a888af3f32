"""How deep lists and tables may be inside each other, wherever data comes into being.

JSON's writer goes no deeper than 254 levels. What travels has more around it: an item's state, the failure of
a composite in a composite, the traces of members inside traces. So data itself has a bound that leaves room
for all of that, and what a step gives can always be kept.
"""

from __future__ import annotations

from typing import Any

import orjson

#: Levels of an input, of what a guest returns, of what an expression gives and of what members give together.
#: A template has what is written around its expressions on top.
MAX_NESTING = 128
#: Levels that JSON's writer writes.
_WRITTEN = 254


def nests_too_deep(value: Any) -> bool:
    """Whether a JSON value has more than `MAX_NESTING` levels.

    For those that can be so deep at all: if there are no more lists and tables than that, nobody need ask.
    """
    around = value
    for _ in range(_WRITTEN - MAX_NESTING):
        around = [around]
    try:
        orjson.dumps(around)  # many times as quick as to walk
    except orjson.JSONEncodeError:
        return nests_deeper(value, MAX_NESTING)
    return False


def nests_deeper(value: object, levels: int) -> bool:
    """Whether lists and tables are more than so many levels deep inside each other; no recursion."""
    level = [value]
    for _ in range(levels):
        level = [
            item
            for one in level
            if isinstance(one, dict | list | tuple)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, dict | list | tuple) for one in level)
