"""The commit that ends a batch and brings the next one of its queue: a COMMIT and a CLAIM in one script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Claim, Commit
from penstock_broker_config.ledger.requests import Request


class Committed(NamedTuple):
    """What came of a commit that asked for the next batch as well."""

    answer: Commit
    #: The next batch, and its claim (granted). None: there is none for this holder.
    batch_id: str | None = None
    claim: Claim | None = None


def commit_and_claim(
    keys: Keys, commit: Request[Commit], claim: Request[Claim], queues: Sequence[str]
) -> Request[Committed]:
    """Both requests as one.

    Args:
        keys: of the system.
        commit: records the last calls of a batch.
        claim: a claim of no batch in particular.
        queues: full names of all queues that the worker serves.
    """
    return Request(
        script="commit_claim",
        keys=[keys.open, keys.costs, keys.dead],
        args=[len(claim.args), *claim.args, len(queues), *queues, *commit.args],
        read=_reader(commit.read, claim.read),
    )


def _reader(
    read_commit: Callable[[Any], Commit], read_claim: Callable[[Any], Claim]
) -> Callable[[list[Any]], Committed]:
    def read(answer: list[Any]) -> Committed:
        word, *claimed = answer
        if not claimed:
            return Committed(read_commit(word))
        return Committed(read_commit(word), claimed[0].decode(), read_claim(claimed[1:]))

    return read
