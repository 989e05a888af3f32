"""Inputs become chunks: full ones at once, others after a while."""

from __future__ import annotations

from penstock_scheduler.hopper import Chunk, Hopper


def test_nothing_is_due_while_nothing_is_here() -> None:
    """The feeder sleeps until something comes."""
    hopper = Hopper()

    assert hopper.due_in_s(now_s=5.0) is None


def test_a_full_chunk_is_due_at_once() -> None:
    """As many calls as were wanted."""
    hopper = Hopper(linger_s=10)
    hopper.want(2)

    hopper.put(b"1", now_s=0)
    hopper.put(b"2", now_s=0)

    assert hopper.due_in_s(0) == 0
    assert not hopper.fits(b"3")
    chunk = hopper.take()
    assert (chunk.texts, chunk.size_bytes, chunk.ended) == ([b"1", b"2"], 2, False)
    assert hopper.due_in_s(0) is None


def test_an_incomplete_chunk_is_due_when_its_oldest_input_has_waited() -> None:
    """A slow input is sent as it comes."""
    hopper = Hopper(linger_s=2)
    hopper.want(8)

    hopper.put(b"1", now_s=10)
    hopper.put(b"2", now_s=11)

    assert hopper.due_in_s(11) == 1
    assert hopper.due_in_s(12) == 0
    assert hopper.due_in_s(99) == 0


def test_bytes_bound_a_chunk_before_its_calls_do() -> None:
    """What does not fit any more makes what is here a whole chunk."""
    hopper = Hopper(linger_s=10, max_bytes=10)
    hopper.want(100)
    hopper.put(b"123456", now_s=0)

    assert hopper.due_in_s(0) == 10
    assert not hopper.fits(b"12345")

    assert hopper.due_in_s(0) == 0
    assert hopper.take().texts == [b"123456"]
    assert hopper.fits(b"12345")


def test_one_input_may_be_larger_than_a_chunk() -> None:
    """It travels by itself."""
    hopper = Hopper(max_bytes=3)

    assert hopper.fits(b"12345")
    hopper.put(b"12345", now_s=0)
    assert not hopper.fits(b"1")


def test_the_end_makes_the_rest_due_and_says_why() -> None:
    """What came before an error is sent all the same."""
    hopper = Hopper(linger_s=10)
    error = ValueError("row 3")
    hopper.put(b"1", now_s=0)

    hopper.end(error)

    assert hopper.due_in_s(0) == 0
    chunk = hopper.take()
    assert (chunk.texts, chunk.ended, chunk.error) == ([b"1"], True, error)


def test_stopping_leaves_nothing_to_send() -> None:
    """The producer is closing."""
    hopper = Hopper()
    hopper.put(b"1", now_s=0)

    hopper.stopped = True

    assert hopper.due_in_s(0) == 0
    assert hopper.take() == Chunk()


def test_only_what_changes_the_feeders_wait_is_news() -> None:
    """Waking it for every input would cost more than the input."""
    hopper = Hopper(linger_s=10)
    hopper.want(3)

    news = [hopper.put(b"x", now_s=0) for _ in range(3)]

    assert news == [True, False, True]
