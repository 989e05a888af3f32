"""Where hosts leave native code for one another: the seam between the fleet and what carries it."""

from __future__ import annotations

from typing import Protocol


class ArtifactExchange(Protocol):
    """Where hosts leave native code for one another. It is asked for bytes, never for the truth.

    Every method raises `UnreachableError` when there is no answer in time.
    """

    @property
    def max_bytes(self) -> int:
        """Nothing larger is taken."""
        ...

    def fetch(self, name: str) -> bytes | None:
        """What was offered under this name, which is in use again; None: nothing.

        Raises:
            CatalogError: it is not whole.
        """
        ...

    def renew(self, name: str) -> bool:
        """Whether something is offered under this name, which is in use again."""
        ...

    def offer(self, name: str, content: bytes) -> bool:
        """Leave this for the others, unless something is there; False: it is not taken, there is no room."""
        ...

    def drop(self, name: str) -> None:
        """Remove what cannot be believed."""
        ...

    def claim(self, name: str) -> bool:
        """Say that this process makes it now; it says so again every few seconds. False: another does."""
        ...

    def release(self, name: str) -> None:
        """Stop saying so."""
        ...
