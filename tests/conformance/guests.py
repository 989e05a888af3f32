"""All guests of the isolation suite, by name.

The same guests go through an executor in process and through real worker processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from tests.conformance import hosted, refused, returned, stopped
from tests.conformance.guest import Guest, guest


def _by_name(guests: Iterable[Guest]) -> dict[str, Guest]:
    return {one.name: one for one in guests}


#: Does what it should: it returns its params.
GOOD = guest("good", params={"say": "héllo"}, returns='{"say":"héllo"}'.encode())

#: Guests that run, and what must come of a call.
GUESTS: dict[str, Guest] = _by_name(
    chain(
        stopped.time(),
        stopped.memory(),
        stopped.traps(),
        returned.unreadable(),
        returned.too_large(),
        returned.failures(),
        hosted.forgetful(),
        hosted.loggers(),
        hosted.askers(),
    )
)

#: Guests that no worker links, whatever a catalog says of them.
REFUSED: dict[str, Guest] = _by_name(refused.by_their_types())

#: Guests that an inspection refuses after it has asked them.
UNPUBLISHABLE: dict[str, Guest] = _by_name(refused.by_what_they_say())
