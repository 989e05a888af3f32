"""What refers to a plugin's bundle: jobs that have not ended, and dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from penstock_broker_config.dead_letters import DeadLetters, LetterFilter
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import FINAL_STATES

#: Jobs that are read at once.
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Who refers to which digest."""

    #: Digest → ids of jobs that have not ended, the newest first.
    jobs: dict[str, list[str]] = field(default_factory=dict)
    #: Digest → how many dead letters.
    letters: Counter[str] = field(default_factory=Counter)

    def hold(self, digest: str) -> bool:
        """Whether anything refers to this digest."""
        return digest in self.jobs or digest in self.letters


def find_references(client: redis.Redis, keys: Keys, digests: Iterable[str]) -> References:
    """What refers to these digests now. Every job is looked at, a thousand at a time."""
    wanted = frozenset(digests)
    found = References()
    if not wanted:
        return found
    start = 0
    while page := cast("list[bytes]", client.zrevrange(keys.jobs, start, start + _PAGE - 1)):
        start += len(page)
        ids = [job_id.decode(errors="replace") for job_id in page]
        with client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hmget(keys.job(job_id), "digest", "state", "digests")
            answers: list[Any] = pipe.execute(raise_on_error=False)
        for job_id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, list) and answer[0] is not None:
                digest, state, bundles = ((value or b"").decode(errors="replace") for value in answer)
                if state in FINAL_STATES:
                    continue
                # A run of a pipeline pins many; its own digest is that of its plan.
                for pinned in wanted.intersection([digest, *bundles.split()]):
                    found.jobs.setdefault(pinned, []).append(job_id)
    letters, offset = DeadLetters(client, keys), cast("int | None", 0)
    while offset is not None:
        some, offset = letters.page(LetterFilter(), offset=offset)
        found.letters.update(letter.digest for letter in some if letter.digest in wanted)
    return found
