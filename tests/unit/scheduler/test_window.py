"""What is in flight stays bounded, by calls and by bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_scheduler.window import Window


def test_a_chunk_fits_until_the_calls_in_flight_would_be_too_many() -> None:
    """The bound is on what would be in flight with it."""
    window = Window(max_calls=10)

    window.submitted(6, 60)

    assert window.has_room(4, 40)
    assert not window.has_room(5, 50)


def test_calls_that_ended_make_room() -> None:
    """The ledger says how many ended in all."""
    window = Window(max_calls=10)
    window.submitted(10, 100)

    window.finished(4)

    assert window.calls == 6
    assert window.has_room(4, 40)
    assert not window.has_room(5, 50)


def test_bytes_are_bounded_too_and_go_with_the_oldest_chunks() -> None:
    """Large params fill Redis long before their calls are many."""
    window = Window(max_calls=1000, max_bytes=100)
    window.submitted(2, 60)
    window.submitted(2, 40)

    assert not window.has_room(1, 1)

    window.finished(1)
    assert window.bytes == 100

    window.finished(2)
    assert window.bytes == 40
    assert window.has_room(1, 60)


def test_with_nothing_in_flight_a_chunk_larger_than_the_window_may_go() -> None:
    """It would wait for ever otherwise."""
    window = Window(max_calls=2, max_bytes=10)

    assert window.has_room(5, 500)


def test_an_older_smaller_count_changes_nothing() -> None:
    """Answers of the ledger may be read out of order."""
    window = Window(max_calls=10)
    window.submitted(10, 100)
    window.finished(7)

    window.finished(3)

    assert window.calls == 3


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 500)), max_size=40), st.integers(1, 60))
def test_a_feeder_that_asks_first_never_has_more_in_flight_than_the_bounds(
    chunks: list[tuple[int, int]], max_calls: int
) -> None:
    """Whatever the chunks are: only a chunk that is alone may pass the bounds."""
    window = Window(max_calls=max_calls, max_bytes=600)
    submitted = finished = 0

    for calls, size_bytes in chunks:
        while not window.has_room(calls, size_bytes):
            finished += 1
            window.finished(finished)
        alone = window.calls == 0
        window.submitted(calls, size_bytes)
        submitted += calls

        assert window.calls == submitted - finished
        assert alone or (window.calls <= max_calls and window.bytes <= 600)
