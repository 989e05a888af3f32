"""Which batches this worker has finished lately: memory that pool processes write and the parent reads.

A pool process that goes from one batch to the next leaves doorbells behind that nobody needs to answer any
more. The parent drops those that it finds here. What it does not find is asked of the ledger as ever: an
entry may be missing (its place was needed), but never says what is not so.
"""

from __future__ import annotations

import hashlib
import mmap
import secrets

#: Batches that are remembered, about; and the bytes of each one's digest.
_PLACES = 4096
_DIGEST_BYTES = 16


class FinishedBatches:
    """Made before the fork; a batch once finished is never open again, so that nothing is ever taken back."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _PLACES * _DIGEST_BYTES)
        # Keyed, so that nobody finds a name that is taken for another's.
        self._key = secrets.token_bytes(16)

    def add(self, batch_id: str) -> None:
        """A batch is finished. A digest that is read while it is written is one that fits no batch."""
        digest, place = self._find(batch_id)
        self._memory[place : place + _DIGEST_BYTES] = digest

    def __contains__(self, batch_id: str) -> bool:
        digest, place = self._find(batch_id)
        return self._memory[place : place + _DIGEST_BYTES] == digest

    def _find(self, batch_id: str) -> tuple[bytes, int]:
        digest = hashlib.blake2b(batch_id.encode(), key=self._key, digest_size=_DIGEST_BYTES).digest()
        return digest, int.from_bytes(digest[:4]) % _PLACES * _DIGEST_BYTES
