"""How this process keeps the memory that it frees: for the next batch, and not for the kernel at once.

A batch's results are some megabytes, freed at its end. By glibc's own rules the heap is cut then, and each
page of it is asked for again, cleared and mapped, with the next batch.
"""

from __future__ import annotations

import ctypes
import os

from penstock_plugins.limits import MIB

#: Free bytes at the end of the heap that are kept at most.
KEPT_BYTES = 32 * MIB
#: Blocks of this size and more are given back as soon as they are freed, wherever they are.
LARGE_BYTES = 8 * MIB

#: Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
#: By these the user has said it.
_SAID_BY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep up to `KEPT_BYTES` of freed memory. Says whether it is so: other C libraries have no such rule."""
    if any(name in os.environ for name in _SAID_BY):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    return bool(mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
