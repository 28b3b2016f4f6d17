"""How a process keeps memory: what a step frees the next takes again, and what lasts is let be."""

import ctypes
import gc
import sys

# Of glibc's malloc.h; Python's ctypes knows no names for them.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8
_MADV_HUGEPAGE = 14
_PAGE = 2**21
# Addresses, not memory: what is never written to costs nothing.
_RESERVED = 2**33
# New objects between two looks for unreachable ones; by default Python waits for 700.
_OBJECTS = 100_000


def collect_seldom() -> None:
    """Makes Python look for unreachable objects a hundredth as often; call it before imports.

    Imports and traces make millions of objects that stay, and each look goes through the young
    ones again for nothing: half a second of the four that a search takes to start. What no cycle
    refers to is freed at once as ever.
    """
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])


def keep(*, large_arrays: bool = True) -> bool:
    """Makes this process keep the memory that it frees; returns whether it does.

    Each step on a CPU allocates and frees the same hundreds of megabytes. By default glibc asks
    the kernel for every large array anew, which zeroes it page by page, 4 KiB at a time: a third
    of a training step. The price is that memory stays at its peak. Nothing changes without glibc;
    call it before the first array is made.

    Args:
        large_arrays: Whether also those over 32 MiB, and all in large pages: for a training, which
            makes the same in each step. A server makes some of many sizes between much that is
            small: where one finds no gap, the heap grows by it, for thousands of requests.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    # All from one heap, which only grows: arrays over 64 MiB fit in no other.
    options = [(_ARENA_MAX, 1), (_TRIM_THRESHOLD, -1)]
    if large_arrays:
        options += [(_MMAP_MAX, 0), (_TOP_PAD, 2**26)]
    else:
        options += [(_MMAP_THRESHOLD, 2**25)]
    if not all(libc.mallopt(option, value) for option, value in options):
        return False
    if large_arrays:
        _reserve(libc)
    return True


def _reserve(libc: ctypes.CDLL) -> None:
    """Has the heap's next addresses backed by large pages, where the kernel allows it."""
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = libc.malloc(_RESERVED)
    if start is None:
        return
    first = -(-start // _PAGE) * _PAGE
    libc.madvise(first, start + _RESERVED - first, _MADV_HUGEPAGE)
    libc.free(start)
