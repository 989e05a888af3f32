"""The ledger's Lua scripts, one file each; every one says at its top which keys it touches."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load_script(name: str) -> str:
    """The script as it is sent to Redis: the common part, then the script itself."""
    folder = files(__package__)
    return (folder / "common.lua").read_text() + (folder / f"{name}.lua").read_text()
