"""The pipeline of a chaos run: every kind of stage, and what each item must come to, by its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock_plugins.pipelines.model import Pipeline

#: Keys that calls wait under, and keys of limits.
KEYS = 3


def _witness(tool: str, step: str, *, undo: str | None = None, **params: Any) -> dict[str, Any]:
    """A step of the witness, which writes down its name `s` and the item's number; it returns its params."""
    shape: dict[str, Any] = {"tool": f"witness.{tool}", "params": {"n": "{{data.n}}", "s": step, **params}}
    if undo is not None:
        shape["compensate"] = {"tool": "witness.once", "params": {"n": "{{result.data.n}}", "s": undo}}
    return shape


#: A fused stretch; a call that may be started once only; arms whose calls wait in buffers and for a slot of a
#: limit; a failure that is caught; a filter; a fan-out; and a step that fails, and three steps are undone.
PIPELINE = Pipeline.from_dict(
    {
        "name": "chaos",
        "steps": [
            _witness("run", "first", ms="{{input.ms}}"),
            {"transform": {"n": "{{data.n}}"}},
            _witness("run", "second"),
            _witness("once", "once", undo="undo once", ms="{{input.ms}}"),
            {
                "branch": "data.n % 2 == 0",
                "if_true": [_witness("keyed", "keyed", undo="undo keyed", key="{{input.key}}")],
                "if_false": [
                    {
                        "branch": "data.n % 20 == 1",
                        "if_true": [_witness("limited", "limited", key="{{input.key}}")],
                        "if_false": [{"transform": {"n": "{{data.n}}"}}],
                    }
                ],
            },
            {
                "branch": "data.n % 25 == 2",
                "if_true": [
                    _witness("failed", "caught"),
                    {"catch": [{"transform": {"n": "{{input.n}}", "caught": "{{error.code}}"}}]},
                ],
                "if_false": [{"transform": {"n": "{{data.n}}", "caught": "nothing"}}],
            },
            {"filter": "data.n % 10 != 3"},
            {
                "parallel": {
                    "left": [_witness("run", "left", caught="{{data.caught}}")],
                    "right": [
                        {"transform": {"n": "{{data.n}}"}},
                        _witness("once", "right", undo="undo right"),
                    ],
                }
            },
            {"transform": {"n": "{{data.right.n}}", "caught": "{{data.left.caught}}"}},
            _witness("failed", "failing") | {"when": "data.n % 7 == 0"},
            {"transform": {"n": "{{input.n}}", "caught": "{{data.caught}}"}},
        ],
    }
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What becomes of an item when nothing of it was interrupted."""

    #: What it ends with; None when it is filtered or fails.
    data: dict[str, Any] | None
    filtered: bool = False
    #: Code of its error.
    code: str | None = None
    #: What is undone, in this order.
    undone: tuple[str, ...] = ()
    #: Steps of the witness that are executed.
    steps: frozenset[str] = frozenset()


def input_of(n: int) -> dict[str, Any]:
    """The input of an item; some of its steps wait up to 7 ms in the host."""
    return {"n": n, "ms": n * 7919 % 8, "key": f"k{n // 2 % KEYS}"}


def is_limited(n: int) -> bool:
    """Whether an item has a call under a limit."""
    return n % 20 == 1


def expected(n: int) -> Expected:
    """What the item of this number comes to."""
    steps = {"first", "second", "once"}
    steps |= {"keyed"} if n % 2 == 0 else {"limited"} if is_limited(n) else set()
    caught = n % 25 == 2
    steps |= {"caught"} if caught else set()
    if n % 10 == 3:
        return Expected(data=None, filtered=True, steps=frozenset(steps))
    steps |= {"left", "right"}
    if n % 7 == 0:
        undone = ("undo right", *(("undo keyed",) if n % 2 == 0 else ()), "undo once")
        steps |= {"failing", *undone}
        return Expected(data=None, code="RATE_LIMIT", undone=undone, steps=frozenset(steps))
    return Expected(data={"n": n, "caught": "RATE_LIMIT" if caught else "nothing"}, steps=frozenset(steps))


def undone_after(n: int, step: str) -> tuple[str, ...]:
    """What is undone when a call that may be started once only was interrupted."""
    if step == "once":
        return ()
    return (*(("undo keyed",) if n % 2 == 0 else ()), "undo once")
