"""Retrieval figures beside pytorch-metric-learning's AccuracyCalculator, on the same embeddings.

    python benchmarks/metrics.py --num_images=60000 --num_classes=600 --dimensions=512 --repeats=3

Each run is a process of its own, so that its peak memory is its own; the two take turns. Both get
all cores. The peer needs `pip install pytorch-metric-learning faiss-cpu torch`.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

FIGURES = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_reciprocal_rank")
TOLERANCE = 1e-6


def make(num_images: int, num_classes: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns L2-normalised embeddings around a centre for each class, and the classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_images) % num_classes
    centers = rng.normal(size=(num_classes, dimensions)).astype(np.float32)
    x = rng.standard_normal((num_images, dimensions), np.float32)
    # So noisy that about half of the nearest neighbours are right.
    x = 0.30 * centers[labels] + x
    return x / np.linalg.norm(x, axis=1, keepdims=True), labels


def ours(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns simsearch's figures by the peer's names."""
    from simsearch.retrieval.metrics import ranking

    found = ranking.leave_one_out(embeddings, labels).per_query()
    # The peer looks for the first right one among the R nearest only.
    depth = np.bincount(labels).max() - 1
    mrr = found["mrr"].astype(np.float64)
    mrr[mrr < 0.999999 / depth] = 0
    return {
        "precision_at_1": found["recall_at_1"].mean(dtype=np.float64),
        "r_precision": found["r_precision"].mean(dtype=np.float64),
        "mean_average_precision_at_r": found["map_at_r"].mean(dtype=np.float64),
        "mean_reciprocal_rank": mrr.mean(),
    }


def peer(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the same figures of pytorch-metric-learning, with faiss on the CPU."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=FIGURES, k="max_bin_count", device=torch.device("cpu"))
    return calculator.get_accuracy(embeddings, labels)


def nmi_ours(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns simsearch's NMI of all images."""
    from simsearch.retrieval.metrics import clustering

    return {"nmi": clustering.nmi(embeddings, labels, max_images=len(labels), seed=0)}


def nmi_peer(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the peer's NMI, which depends on its own k-means."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=("NMI",), device=torch.device("cpu"))
    return {"nmi": calculator.get_accuracy(embeddings, labels)["NMI"]}


def everything(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns all figures of an evaluation with its default options, the gallery as large."""
    from simsearch.config import files as config_files
    from simsearch.retrieval import calibration, evaluate
    from simsearch.retrieval.metrics import pairs

    config = config_files.load_config("train").eval
    fit = calibration.fit(
        pairs.count(embeddings, labels, max_pairs=config.max_pairs, seed=0), method="isotonic"
    )
    found = evaluate.measure(
        embeddings,
        labels,
        gallery=embeddings,
        gallery_labels=labels,
        class_names=[str(i) for i in range(labels.max() + 1)],
        options=evaluate.Options.of(config),
        calibration=fit,
    )
    return {name: interval.value for name, interval in found.metrics.items()}


METHODS = {f.__name__: f for f in (ours, peer, nmi_ours, nmi_peer, everything)}


def work(method: str, path: str) -> None:
    """Runs one method on stored embeddings and writes its figures, seconds and peak memory."""
    with np.load(path) as stored:
        embeddings, labels = stored["embeddings"], stored["labels"]
    # A small run first: libraries are loaded and threads started before the clock is.
    METHODS[method](*make(500, 10, 16))
    start, busy = time.perf_counter(), time.process_time()
    figures = METHODS[method](embeddings, labels)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = {name: float(value) for name, value in figures.items()}
    found = {"figures": figures, "seconds": seconds, "busy": busy, "gib": peak}
    sys.stdout.write(json.dumps(found) + "\n")


def measured(method: str, path: str) -> dict:
    """Returns what `work` writes, from a process of its own."""
    command = [sys.executable, __file__, "--work", method, path]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(first: str, second: str, path: str, repeats: int) -> bool:
    """Prints two methods' medians side by side, run in turns; returns whether they agree."""
    runs: dict[str, list[dict]] = {first: [], second: []}
    for _ in range(repeats):
        for name, found in runs.items():
            found.append(measured(name, path))
    for name, found in runs.items():
        seconds = sorted(run["seconds"] for run in found)
        print(
            f"  {name:<9} median {statistics.median(seconds):8.2f} s  "
            f"({seconds[0]:.2f} to {seconds[-1]:.2f})  "
            f"CPU {statistics.median(run['busy'] for run in found):8.2f} s  "
            f"peak {max(run['gib'] for run in found):.2f} GiB"
        )
    for kind in ("seconds", "busy"):
        ratios = [b[kind] / a[kind] for a, b in zip(*runs.values(), strict=True)]
        word = {"seconds": "time", "busy": "CPU time"}[kind]
        print(f"  {second} / {first}, {word}: {statistics.median(ratios):.2f}")
    a, b = runs[first][0]["figures"], runs[second][0]["figures"]
    for name in a:
        print(f"  {name:<28} {a[name]:.8f}  {b[name]:.8f}  difference {abs(a[name] - b[name]):.1e}")
    return all(abs(a[name] - b[name]) <= TOLERANCE for name in a)


def main() -> int:
    """Returns 0 where all comparable figures agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_images", type=int, default=10_000)
    parser.add_argument("--num_classes", type=int, default=100)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nmi", action="store_true", help="compare k-means and NMI as well")
    parser.add_argument("--everything", action="store_true", help="time a whole evaluation, too")
    parser.add_argument("--work", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.work:
        work(*flags.work)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "embeddings.npz")
        embeddings, labels = make(flags.num_images, flags.num_classes, flags.dimensions)
        np.savez(path, embeddings=embeddings, labels=labels)
        del embeddings
        sizes = (
            f"{flags.num_images} images, {flags.num_classes} classes, {flags.dimensions} numbers"
        )
        print(f"{sizes}: precision@1, R-precision, MAP@R, MRR")
        agree = compare("ours", "peer", path, flags.repeats)
        if flags.nmi:
            print("NMI (each with its own k-means, so not equal)")
            compare("nmi_ours", "nmi_peer", path, flags.repeats)
        if flags.everything:
            found = measured("everything", path)
            print(f"a whole evaluation: {found['seconds']:.2f} s, peak {found['gib']:.2f} GiB")
            print("\n".join(f"  {k:<26} {v:.4f}" for k, v in found["figures"].items()))
    print("equal to 1e-6" if agree else "NOT EQUAL to 1e-6")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
