"""What a map may be given."""

from __future__ import annotations

import pytest

from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.map_plan import check_inputs


@pytest.mark.parametrize("inputs", [{"text": "x"}, "abc", b"abc"])
def test_one_input_is_not_taken_for_many(inputs: object) -> None:
    """Its keys or characters would be the inputs."""
    with pytest.raises(ConfigurationError, match=f"not one {type(inputs).__name__}: submit takes one"):
        check_inputs(inputs)


@pytest.mark.parametrize("inputs", [[], ({"n": 1},), iter(["abc"]), {1, 2}, {"a": 1}.items()])
def test_whatever_has_many_is_taken(inputs: object) -> None:
    """Lists, generators, views."""
    check_inputs(inputs)
