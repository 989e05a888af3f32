"""The ledger's Lua scripts, one file each; every one says at its top which keys it touches."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

#: Functions that scripts share, each file building on those before it.
LIBRARIES = ("jobs", "limits", "buffers", "batches", "flows")


#: Scripts that are made of others: each of those is a function of its KEYS and ARGV in them.
COMPOUNDS = {"commit_claim": {"commit_batch": "commit", "claim_batch": "claim"}}


@cache
def load_script(name: str) -> str:
    """The script as it is sent to Redis: what the scripts share, then the script itself."""
    functions = (
        f"local function {function}(KEYS, ARGV)\n{_read(script)}\nend"
        for function, script in COMPOUNDS.get(name, {}).items()
    )
    return "\n".join((*map(_read, LIBRARIES), *functions, _read(name)))


def _read(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text()
