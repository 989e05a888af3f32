"""Steps whose messages are lost, doubled, late, forged or without their chain: nothing changes (B-4)."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_broker_config.ledger import FlowStep
from penstock_plugins.pipelines.model import Pipeline
from tests.support.pipelines.running import Line

STEPS: list[dict[str, Any]] = [
    {"tool": "lab.echo", "params": {"n": "{{input.n}}"}},
    {"tool": "witness.keyed", "params": {"n": "{{data.n}}", "key": "m"}},
    {"branch": "data.n > 2", "if_true": [{"tool": "lab.echo"}], "if_false": [{"transform": {"n": -1}}]},
    {"transform": ["{{data.n}}", 7]},
    {"map": "data", "steps": [{"tool": "lab.echo", "params": {"n": "{{item}}"}}]},
    {"transform": "{{data[].n}}"},
]
PIPELINE = Pipeline.from_dict({"name": "messages", "steps": STEPS})
EXPECTED = [[n if n > 2 else -1, 7] for n in range(6)]


@pytest.mark.parametrize("fuse", [True, False])
def test_B4_lost_messages_are_sent_again(line: Line, fuse: bool) -> None:
    """Nobody rang: the reaper does, and what follows is found in the plan."""
    run = line.begin(PIPELINE, [{"n": n} for n in range(6)], chunk=2, fuse=fuse, ring=False)

    assert [one.data for one in line.results(run)] == EXPECTED


@pytest.mark.parametrize("fuse", [True, False])
def test_B4_doubled_early_and_forged_messages_change_nothing(line: Line, fuse: bool) -> None:
    """Each stage is named many times over, most of them too early, too late or never there."""
    run = line.begin(PIPELINE, [{"n": n} for n in range(6)], chunk=2, fuse=fuse)

    for stage in ("0", "1", "2", "3", "4", "5", "0", "99", "u0", "end", "", "-1", "x"):
        for flow in (f"{run}/0", f"{run}/2", f"{run}/4/3.0", f"{run}/77", "nobody/0", run):
            step = FlowStep(stage=stage, queue="penstock.default", label="again")
            line.doorbell.step(flow, [step], items=1)

    assert [one.data for one in line.results(run)] == EXPECTED


def test_B4_a_chain_that_names_the_wrong_stages_is_corrected(line: Line) -> None:
    """What a message says comes next counts as far as the ledger agrees."""
    run = line.begin(PIPELINE, [{"n": n} for n in range(6)], chunk=6, ring=False)
    wrong = [FlowStep(stage=stage, queue="penstock.default", label="wrong") for stage in ("0", "9", "0", "3")]

    line.doorbell.step(f"{run}/0", wrong, items=6)

    assert [one.data for one in line.results(run)] == EXPECTED
