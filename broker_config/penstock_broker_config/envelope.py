"""Signs calls and checks them: a MAC covers all that a call is, so that batches can be regrouped.

A MAC is keyed BLAKE2b over the header, the index and the params. Params and results are JSON text that
nobody between producer and guest looks into.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from penstock_broker_config.ledger.batch_records import CallEntry
from penstock_plugins.errors import EnvelopeError

_MAC_BYTES = 16
_PERSON = b"penstock.call.v1"
_BLOB_PERSON = b"penstock.blob.v1"


class Signer:
    """Writes and checks the MACs of one key; without a key it writes none and accepts all."""

    def __init__(self, secret: bytes | None) -> None:
        # BLAKE2b takes keys of up to 64 bytes; a longer secret is hashed first.
        self._key = None if secret is None else hashlib.blake2b(secret, person=_PERSON).digest()

    def sign(self, header: bytes, index: int, params: str) -> str:
        """The MAC of one call, or "" without a key."""
        if self._key is None:
            return ""
        return self._base(header, self._key, index, params)

    def entries(self, header: bytes, first: int, params: Sequence[str]) -> list[CallEntry]:
        """The calls with these params, signed; their indexes count from `first`."""
        return [
            CallEntry(first + k, text, self.sign(header, first + k, text)) for k, text in enumerate(params)
        ]

    def check(self, header: bytes, call: CallEntry) -> None:
        """Refuse a call that this key did not sign.

        Raises:
            EnvelopeError: it is not signed, or signed with another key, or changed since.
        """
        if self._key is None:
            return
        if not call.mac:
            raise EnvelopeError("The call is not signed, and this worker accepts signed calls only")
        if not hmac.compare_digest(call.mac, self._base(header, self._key, call.index, call.params)):
            raise EnvelopeError(
                "The call's signature is not valid: it was signed with another key, or changed"
            )

    def seal(self, context: str, blob: bytes) -> bytes:
        """A blob with its MAC before it, which holds in one context only: `flow_context(...)`, or a run's id.

        Without a key the MAC is empty.
        """
        return self._blob_mac(context, blob).encode() + b"|" + blob

    def unseal(self, context: str, sealed: bytes) -> bytes:
        """The blob that was sealed for that context.

        Raises:
            EnvelopeError: it is not sealed, or not with this key, for this context, or not as it is.
        """
        mac, bar, blob = sealed.partition(b"|")
        if not bar or len(mac) not in (0, 2 * _MAC_BYTES):
            raise EnvelopeError(f"What is kept of {context} is damaged: it has no signature's place")
        if self._key is None:
            return blob
        if not mac:
            raise EnvelopeError(f"What is kept of {context} is not signed, and only signed pipelines are run")
        if not hmac.compare_digest(mac, self._blob_mac(context, blob).encode()):
            raise EnvelopeError(
                f"The signature of what is kept of {context} is not valid: it was signed with another key, or"
                " changed, or belongs elsewhere"
            )
        return blob

    def _blob_mac(self, context: str, blob: bytes) -> str:
        if self._key is None:
            return ""
        mac = hashlib.blake2b(key=self._key, digest_size=_MAC_BYTES, person=_BLOB_PERSON)
        mac.update(b"%d\n" % len(context.encode()))
        mac.update(context.encode())
        mac.update(blob)
        return mac.hexdigest()

    @staticmethod
    def _base(header: bytes, key: bytes, index: int, params: str) -> str:
        mac = hashlib.blake2b(key=key, digest_size=_MAC_BYTES, person=_PERSON)
        mac.update(b"%d\n%d\n" % (len(header), index))
        mac.update(header)
        mac.update(params.encode())
        return mac.hexdigest()


def flow_context(flow: str, stage: str, program: int) -> str:
    """What a flow's items are sealed for: they are of no use in another flow, at another stage or program."""
    return f"flow {flow} stage {stage} program {program}"
