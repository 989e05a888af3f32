"""A resumed run begins in chunks as large as those of any other."""

from __future__ import annotations

import pytest

from penstock_plugins.pipelines.item import ItemState
from penstock_scheduler.chunking import MAX_BYTES
from penstock_scheduler.resuming import first_texts


@pytest.mark.parametrize(
    ("sizes", "together"),
    [([10] * 5, 5), ([MAX_BYTES // 2] * 5, 1), ([MAX_BYTES // 3] * 5, 2), ([2 * MAX_BYTES, 1], 1), ([], 0)],
)
def test_items_travel_together_up_to_the_bytes_of_a_chunk(sizes: list[int], together: int) -> None:
    """A large one goes by itself: each has its input and its data in its state."""
    items = [ItemState.fresh("x" * size, reads_input=False) for size in sizes]

    texts = first_texts(items)

    assert len(texts) == together
