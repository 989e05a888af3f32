"""What refers to a plugin's bundle: jobs that have not ended, and dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import redis

from penstock_broker_config.dead_letters import read_letter
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import FINAL_STATES

#: Jobs, or letters, that are read at once.
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Who refers to which digest."""

    #: Digest → ids of jobs that have not ended.
    jobs: dict[str, list[str]] = field(default_factory=dict)
    #: Digest → how many dead letters.
    letters: Counter[str] = field(default_factory=Counter)

    def hold(self, digest: str) -> bool:
        """Whether anything refers to this digest."""
        return digest in self.jobs or digest in self.letters


def find_references(client: redis.Redis, keys: Keys, digests: Iterable[str]) -> References:
    """What refers to these digests now: every job and every letter is looked at, a thousand at a time.

    Jobs and letters come and go meanwhile, and a letter that is replayed becomes a job. So they are scanned,
    which misses none that is there all the time, and letters are read before the jobs and again after them.
    """
    wanted = frozenset(digests)
    found = References()
    if not wanted:
        return found
    letters = _letters(client, keys, wanted)
    # Digest → ids, each once: a scan may give a name twice.
    jobs: dict[str, dict[str, None]] = {}
    for ids in _pages(client, keys.jobs):
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
                    jobs.setdefault(pinned, {})[job_id] = None
    found.jobs.update({digest: list(ids) for digest, ids in jobs.items()})
    letters |= _letters(client, keys, wanted)
    found.letters.update(letters.values())
    return found


def _letters(client: redis.Redis, keys: Keys, wanted: frozenset[str]) -> dict[str, str]:
    """The letters that are there now and pinned to one of these digests, and to which."""
    found = {}
    for ids in _pages(client, keys.dead):
        with client.pipeline(transaction=False) as pipe:
            for call_id in ids:
                pipe.hget(keys.dead_letter(call_id), "header")
            answers: list[Any] = pipe.execute(raise_on_error=False)
        for call_id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, bytes):
                digest = read_letter(call_id, {b"header": answer}).digest
                if digest in wanted:
                    found[call_id] = digest
    return found


def _pages(client: redis.Redis, key: str) -> Iterator[list[str]]:
    """The names in a sorted set, each at least once and seldom twice; some at a time."""
    names = (name.decode(errors="replace") for name, _ in client.zscan_iter(key, count=_PAGE))
    while page := list(dict.fromkeys(islice(names, _PAGE))):
        yield page
