"""What the process that runs a reproduction is told, and the words in which it answers.

Its parent has settings, secrets and a terminal; it has none of them. What it is told fits into one JSON text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, cast

import orjson

#: What it writes, one JSON object a line: `{"said": …}`, with `result` or `message` where there is one.
CALLING, OVERRAN, RETURNED, REFUSED = "calling", "overran", "returned", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How to run it here. What the reproduction asks for was narrowed to what this machine allows."""

    #: Descriptors that it inherits: the reproduction, and where it answers.
    file_fd: int
    answer_fd: int
    parent_pid: int
    #: Where native code that was compiled here is kept.
    cache_dir: str
    capabilities: list[str]
    #: Values of `env-get`, as whoever replays it gave them.
    env: dict[str, str]
    #: Fields of `Limits`.
    limits: dict[str, float | int | None]
    timeout_s: float
    grace_s: float
    #: Seconds of CPU for which the process's Python may stand still.
    standstill_s: float
    sandbox_path: str
    #: Clock and seed of calls that repeat. None: those of this host.
    at_s: float | None = None
    seed: int | None = None
    #: Bytes that the process may allocate in all.
    data_bytes: int = field(default=8 << 30)

    def to_json(self) -> bytes:
        """As the process reads it from its standard input."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> Orders:
        """What `to_json` wrote."""
        return cls(**orjson.loads(text))


def read_answers(raw: bytes) -> list[dict[str, Any]]:
    """What the process wrote; a line that it could not finish is left out."""
    answers = []
    for line in raw.splitlines():
        try:
            answer = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(answer, dict) and isinstance(answer.get("said"), str):
            answers.append(cast("dict[str, Any]", answer))
    return answers
