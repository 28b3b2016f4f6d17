import gc
import subprocess
import sys

from simsearch import allocator

# Page faults of four arrays, each freed before the next is made.
SCRIPT = """
import resource, sys
import numpy as np
from simsearch import allocator
if sys.argv[1] != "usual":
    assert allocator.keep(large_arrays=sys.argv[1] == "all")
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(int(sys.argv[2]) // 8, 1.0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word, size=160_000_000):
    # Without numpy's own wish for large pages, as other libraries allocate.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, word, str(size)],
        capture_output=True,
        text=True,
        check=True,
        env={"NUMPY_MADVISE_HUGEPAGE": "0"},
    )
    return [int(line) for line in done.stdout.split()]


def test_memory_that_was_freed_is_not_asked_for_again():
    usual, kept = faults("usual"), faults("all")
    assert min(usual) > 10_000, "glibc maps every large array anew"
    assert max(kept[1:]) < 100


def test_a_server_gives_large_arrays_back_and_keeps_the_others():
    assert max(faults("small", size=20_000_000)[1:]) < 100
    assert min(faults("small")) > 10_000


def test_nothing_changes_without_glibc(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep()
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep()


def test_python_looks_for_unreachable_objects_less_often():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        allocator.collect_seldom()
        assert gc.get_threshold() == (100_000, 10, 10)
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
