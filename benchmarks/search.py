"""Searches side by side on one core: the exact view, FAISS flat, NumPy; LanceDB and Milvus beside.

python benchmarks/search.py [--sizes 10000 100000 1000000] [--rounds 5]
    [--engines lance milvus] [--engine_sizes 10000 100000] [--kinds hnsw ivf_pq]
python benchmarks/search.py --bandwidth            # on a GPU: 10M x 128 in bfloat16

Contenders take turns in every round; a figure is the median over the rounds: the processor time of
one core for the exact searches, the time on the clock for the engines. Milvus takes part
where SIMSEARCH_TEST_MILVUS names a server, as tests/with_milvus.py starts one. Prints Markdown.
"""

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
import time
from importlib import metadata

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from simsearch import allocator  # noqa: E402

SIZE, TOP_K, BATCH, CLUSTERS = 128, 10, 100, 1000


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--engines", nargs="*", default=["lance"], choices=["lance", "milvus"])
    parser.add_argument("--engine_sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--kinds", nargs="+", default=["hnsw"], choices=["hnsw", "ivf_pq"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--bandwidth", action="store_true")
    parser.add_argument("--bandwidth_rows", type=int, default=10_000_000)
    return parser.parse_args()


def on_one_core(cpu):
    """Must run before any library starts its threads."""
    os.sched_setaffinity(0, {cpu})
    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    os.environ["JAX_PLATFORMS"] = "cpu"


def vectors_of(rng, count):
    """Returns unit vectors around a thousand centres, as embeddings of classes lie."""
    import numpy as np

    centers = np.random.default_rng(7).normal(size=(CLUSTERS, SIZE)).astype(np.float32)
    vectors = centers[rng.integers(0, CLUSTERS, count)]
    vectors += 0.7 * rng.standard_normal((count, SIZE), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Memory:
    """An engine that is two arrays, for the exact view to read."""

    def __init__(self, vectors):
        self._vectors = vectors

    def version(self):
        return 0

    def scan(self, where=None, *, vectors=False):
        from simsearch.index.engine import Batch

        for start in range(0, len(self._vectors), 100_000):
            part = self._vectors[start : start + 100_000]
            yield Batch([record(start + i) for i in range(len(part))], part)


def record(number):
    from simsearch.index.record import Record

    return Record(f"{number:032x}", str(number), "", {}, "", 0, 0, "", number)


def ours(vectors):
    """Returns the function from queries to rows of the exact view."""
    import jax

    from simsearch.index import exact

    view = exact.ExactView(Memory(vectors), embedding_size=SIZE, devices=jax.local_devices())

    def by_view(queries):
        found = view.search(queries, top_k=TOP_K, where=None)
        return [[int(hit.record.path) for hit in hits] for hits in found]

    return by_view


def numpys(vectors):
    """Returns the same of NumPy."""
    import numpy as np

    def by_numpy(queries):
        rows = []
        for start in range(0, len(queries), 10):
            scores = queries[start : start + 10] @ vectors.T
            near = np.argpartition(-scores, TOP_K, axis=1)[:, :TOP_K]
            order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1)
            rows.extend(np.take_along_axis(near, order, axis=1).tolist())
        return rows

    return by_numpy


def exact_contenders(vectors):
    """Returns the function from queries to rows of each exact search, by name."""
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(SIZE)
    flat.add(vectors)
    return {
        "exact view": ours(vectors),
        "FAISS flat": lambda queries: flat.search(queries, TOP_K)[1].tolist(),
        "NumPy": numpys(vectors),
    }


def recall(found, expected):
    shares = [len(set(a) & set(b)) / TOP_K for a, b in zip(found, expected, strict=True)]
    return statistics.mean(shares)


def timed(search, queries, repeats, clock=time.perf_counter):
    start = clock()
    for i in range(repeats):
        search(queries(i))
    return (clock() - start) / repeats


def compare_exact(size, rounds):
    """Prints the rows of one size of the exact table."""
    import numpy as np

    rng = np.random.default_rng(0)
    vectors, queries = vectors_of(rng, size), vectors_of(rng, BATCH)
    contenders = exact_contenders(vectors)
    expected = contenders["FAISS flat"](queries)
    single = {name: [] for name in contenders}
    batch = {name: [] for name in contenders}
    repeats = max(3, 200_000 // size)
    for search in contenders.values():
        search(queries), search(queries[:1])
    for _ in range(rounds):
        for name, search in contenders.items():
            # The core's time for this process, whatever else the machine does meanwhile.
            one = timed(search, lambda i: queries[i % BATCH][None], repeats, time.process_time)
            single[name].append(one)
            batch[name].append(timed(search, lambda i: queries, 1, time.process_time))
    base = statistics.median(single["FAISS flat"]), statistics.median(batch["FAISS flat"])
    for name, search in contenders.items():
        one, many = statistics.median(single[name]), statistics.median(batch[name])
        print(
            f"| {size:,} | {name} | {1e3 * one:.2f} | {base[0] / one:.2f} | {BATCH / many:.0f} "
            f"| {base[1] / many:.2f} | {recall(search(queries), expected):.3f} |",
            flush=True,
        )


def compare_engine(name, kind, size, rounds):
    """Prints the row of one engine, kind of index and size."""
    import faiss
    import numpy as np

    from simsearch.index import engines
    from simsearch.index.record import Row

    rng = np.random.default_rng(0)
    vectors, queries = vectors_of(rng, size), vectors_of(rng, BATCH)
    flat = faiss.IndexFlatIP(SIZE)
    flat.add(vectors)
    expected = flat.search(queries, TOP_K)[1].tolist()
    folder = tempfile.mkdtemp(prefix="simsearch_benchmark_")
    url = f"lance:{folder}"
    if name == "milvus":
        url = f"milvus:{os.environ['SIMSEARCH_TEST_MILVUS']}/benchmark_{size}"
    engine = engines.connect(url)
    engine.open_table("rows", embedding_size=SIZE, create=True)
    start = time.perf_counter()
    step = 10_000 if name == "lance" else 2_000
    for low in range(0, size, step):
        part = vectors[low : low + step]
        engine.upsert([Row(record(low + i), vector, b"") for i, vector in enumerate(part)])
    loading = time.perf_counter() - start
    start = time.perf_counter()
    built = engine.build_index(kind)
    building = time.perf_counter() - start

    def search(some):
        found = engine.search(some, top_k=TOP_K, where=None)
        return [[int(hit.record.path) for hit in hits] for hits in found]

    search(queries[:10])
    times = [timed(search, lambda i: queries[i][None], 50) for _ in range(rounds)]
    print(
        f"| {size:,} | {engine.name} {built} | {1e3 * statistics.median(times):.2f} "
        f"| {recall(search(queries), expected):.3f} | {loading:.0f} | {building:.0f} |",
        flush=True,
    )
    engine.drop_table("rows")
    engine.close()
    shutil.rmtree(folder, ignore_errors=True)


def bandwidth(num_rows, rounds):
    """Prints the share of the device's memory bandwidth that single searches reach."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from simsearch import parallel
    from simsearch.index import nearest

    mesh = parallel.mesh(jax.local_devices()[:1])
    capacity = nearest.capacity(num_rows, 1)
    make = jax.jit(
        lambda key: jax.random.normal(key, (capacity, SIZE), jnp.bfloat16) / SIZE**0.5,
        out_shardings=parallel.over_rows(mesh),
    )
    matrix = make(jax.random.key(0))
    allowed = jax.device_put(np.ones(capacity, bool), parallel.over_rows(mesh))
    # What the memory gives at most: reading the same array and nothing else.
    read = jax.jit(lambda m: jnp.max(m, axis=0))
    print("| queries | ms | GB/s | share of a plain read |\n|---|---|---|---|")
    size = matrix.nbytes / 1e9
    plain = min(timed(lambda _: read(matrix).block_until_ready(), lambda i: i, 5)
                for _ in range(rounds))  # fmt: skip
    for count in (1, 8, 64):
        queries = np.random.default_rng(1).normal(size=(count, SIZE)).astype(np.float32)

        def search(some):
            jax.block_until_ready(nearest.top_k(matrix, allowed, some, k=16, devices=mesh))

        search(queries)
        seconds = statistics.median(
            timed(search, lambda i, queries=queries: queries, 5) for _ in range(rounds)
        )
        print(f"| {count} | {1e3 * seconds:.2f} | {size / seconds:.0f} | {plain / seconds:.2f} |")


def main():
    options = parse()
    if options.bandwidth:
        bandwidth(options.bandwidth_rows, options.rounds)
        return
    on_one_core(options.cpu)
    # As main.py does for every command; here the other contenders gain by it as well.
    allocator.keep()
    names = ("jax", "faiss-cpu", "numpy", "lancedb")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    print(f"{time.strftime('%Y-%m-%d')}, one core of {platform.machine()}, {versions}; "
          f"N x {SIZE}, k = {TOP_K}, batches of {BATCH}.\n")  # fmt: skip
    print("| N | exact search | single, ms | FAISS / it | batch, queries/s | it / FAISS | recall |")
    print("|---|---|---|---|---|---|---|")
    for size in options.sizes:
        compare_exact(size, options.rounds)
    if options.engines:
        print("\n| N | approximate | single, ms | recall@10 | loading, s | index, s |")
        print("|---|---|---|---|---|---|")
    for name in options.engines:
        for size in options.engine_sizes:
            for kind in options.kinds if name == "lance" else ["hnsw"]:
                compare_engine(name, kind, size, options.rounds)


if __name__ == "__main__":
    main()
