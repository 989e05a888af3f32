"""The ledger's Lua scripts, one file each; every one says at its top which keys it touches."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

#: Functions that scripts share, each file building on those before it.
LIBRARIES = ("jobs", "limits", "buffers", "batches")


@cache
def load_script(name: str) -> str:
    """The script as it is sent to Redis: what the scripts share, then the script itself."""
    folder = files(__package__)
    return "\n".join((folder / f"{part}.lua").read_text() for part in (*LIBRARIES, name))
