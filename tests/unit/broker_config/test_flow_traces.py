"""What stages have added to traces: found in what a run left, and read in order."""

from __future__ import annotations

import pytest

from penstock_broker_config.flow_traces import added, read_traces
from penstock_broker_config.ledger.flow_reading import names_of_traces
from penstock_broker_config.value_references import refer

#: An item that failed, and three flows, two of which had come past a stage.
LEFT = [b"3", b">0", b">64:1", b">64", b">64:0", b">64:u0", b">128", b">128:0"]


@pytest.mark.parametrize(
    ("index", "base", "stages"),
    [(0, 0, []), (63, 0, []), (64, 64, ["0", "1", "u0"]), (127, 64, ["0", "1", "u0"]), (900, 128, ["0"])],
)
def test_the_flow_that_had_an_item_is_the_last_that_begins_before_it(
    index: int, base: int, stages: list[str]
) -> None:
    """In whatever order Redis names the fields."""
    for fields in (LEFT, LEFT[::-1]):
        found, names = names_of_traces(fields, index)

        assert (found, sorted(names)) == (base, stages)
        assert all(name == f">{base}:{stage}".encode() for stage, name in names.items())


def test_traces_are_in_the_order_of_the_stages_and_undoing_comes_last() -> None:
    """Stages are numbers, also above 9; large traces are kept elsewhere."""
    large = refer(b'{"0": [{"step": "b"}]}')
    kept = {large: b'{"0": [{"step": "b"}]}'}
    traces = {
        "u0": b'{"0": [{"step": "u"}]}',
        "10": large,
        "2": b'{"0": [{"step": "a"}], "1": [{"step": "c"}]}',
    }

    stages = read_traces(traces, kept.__getitem__)

    assert added(stages, 0) == [[{"step": "a"}], [{"step": "b"}], [{"step": "u"}]]
    assert added(stages, 1) == [[{"step": "c"}]]
    assert added(stages, 2) == []
