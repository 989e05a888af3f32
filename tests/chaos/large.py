"""A producer that submits one call with large params under a key, so that submitting it again is safe."""

from __future__ import annotations

import sys

from penstock_scheduler.producer import Producer

#: Of two chunks, and no more than a tool takes.
SIZE = 800_000


def params() -> dict[str, str]:
    """The params of that call."""
    return {"text": "Penstock " * (SIZE // 9)}


if __name__ == "__main__":
    with Producer.connect() as producer:
        producer.submit("demo.double", params(), idempotency_key=sys.argv[1])
