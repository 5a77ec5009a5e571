"""How the process keeps its memory."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory(one_arena: bool = False) -> None:
    """Have the C library keep what is freed: given back, it would return as page faults at every step.

    ``one_arena`` is for a model that runs beside the main thread, whose own arena would be given back.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is None:
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 128 * 2**20)
    if one_arena:
        mallopt(_M_ARENA_MAX, 1)
