"""Compares the speed of the backbones with torchvision's in PyTorch, alternating in one run.

    python benchmarks/backbones.py                                   # everything, in float32
    python benchmarks/backbones.py --backbones=resnet50 --modes=eval
    python benchmarks/backbones.py --backbones=resnet50 --modes=train --batch=256 \
        --dtype=bfloat16 --compile --busy                            # on a GPU

Each side is a process of its own, so that neither's threads or memory are the other's. In turn each
computes for about `--seconds`, `--repeats` times. "train" is a whole step: forward, triplet loss,
backward, AdamW; "frozen" is the same with BatchNorm's running statistics. The table is written
after each row, with .part behind its name until the last one. PyTorch is a development extra:
`pip install torch torchvision`. Memory is read from Linux's /proc.
"""

import argparse
import ctypes
import datetime
import importlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = pathlib.Path(__file__).with_name("results")
SIDES = {"simsearch": "backbones_jax", "PyTorch": "backbones_torch"}
MODES = ("eval", "train", "frozen")
SETTINGS = {
    "embedding_size": 128,
    "learning_rate": 1e-4,
    "weight_decay": 1e-4,
    "margin": 0.2,
    "samples_per_class": 4,
}
_BUSY_STEPS = 10


class Result(NamedTuple):
    """What one side did."""

    compile_seconds: float  # of the first call, where there is no compiler
    peak_bytes: int
    wall: list[float]  # seconds a call, one for each repeat
    processor: list[float]  # the same, of all cores
    busy: float | None  # share of the time in which the GPU computed


def main() -> None:
    """Runs what the command line asks for."""
    arguments = parse()
    if arguments.side:
        work(arguments)
        return
    sys.path.insert(0, str(ROOT))
    from simsearch import models

    names = arguments.backbones.split(",") if arguments.backbones else models.BACKBONES
    heading, rows = None, []
    part = arguments.output.with_name(f"{arguments.output.name}.part")
    for mode in arguments.modes.split(","):
        for name in names:
            results, versions = compare(name, mode, arguments)
            heading = heading or describe(versions, arguments)
            rows.append(row(name, mode, results, arguments.batch))
            print(rows[-1], flush=True)
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(heading + "\n".join([*table_head(), *rows]) + "\n")
    part.replace(arguments.output)
    print(f"written to {arguments.output}")


def parse() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", default="", help="names, comma separated; default: all")
    parser.add_argument("--modes", default=",".join(MODES), help="of eval, train, frozen")
    parser.add_argument("--batch", type=int, default=32, help="images of a call")
    parser.add_argument("--image_size", type=int, default=224, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn, at least one call")
    parser.add_argument("--cores", type=int, default=0, help="of the processor; default: all")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile PyTorch's network")
    parser.add_argument("--busy", action="store_true", help="share of time that the GPU computes")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS / "backbones.md")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.modes.split(",")) - set(MODES)
    if unknown:
        parser.error(f"--modes: {', '.join(unknown)} is none of {', '.join(MODES)}")
    return arguments


def compare(
    name: str, mode: str, arguments: argparse.Namespace
) -> tuple[dict[str, Result], dict[str, str]]:
    """Returns each side's result for a backbone, and each side's version.

    Raises:
        SystemExit: Where simsearch's own side fails; the peer may be missing.
    """
    processes, ready, turns = {}, {}, {}
    for side in SIDES:
        process = start(side, name, mode, arguments)
        reply = read(process)
        if reply is None or "missing" in reply:
            process.communicate()
            why = reply["missing"] if reply else "it failed"
            if side == "simsearch":
                raise SystemExit(f"{side}, {name}, {mode}: {why}")
            print(f"{side} is left out: {why}")
            continue
        processes[side], ready[side], turns[side] = process, reply, []
    for _ in range(arguments.repeats):
        for side, process in processes.items():
            turns[side].append(ask(process, "turn"))
    results = {}
    for side, process in processes.items():
        last = ask(process, "end")
        process.wait()
        wall, processor = ([turn[key] for turn in turns[side]] for key in ("wall", "processor"))
        results[side] = Result(
            ready[side]["compile_seconds"], last["peak_bytes"], wall, processor, last["busy"]
        )
    return results, {side: reply["version"] for side, reply in ready.items()}


def start(side: str, name: str, mode: str, arguments: argparse.Namespace) -> subprocess.Popen:
    """Returns the process of a side."""
    options = [f"--side={side}", f"--backbones={name}", f"--mode={mode}"]
    for option in ("batch", "image_size", "seconds", "cores", "dtype"):
        options.append(f"--{option}={getattr(arguments, option)}")
    options += [f"--{flag}" for flag in ("compile", "busy") if getattr(arguments, flag)]
    # Else JAX takes most of the GPU at once, and its peak says nothing.
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return subprocess.Popen(
        [sys.executable, __file__, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def ask(process: subprocess.Popen, request: str) -> dict:
    """Returns the answer of a side."""
    process.stdin.write(f"{request}\n")
    process.stdin.flush()
    reply = read(process)
    if reply is None:
        raise SystemExit(f"{' '.join(process.args)} ended before it answered")
    return reply


def read(process: subprocess.Popen) -> dict | None:
    """Returns the next answer of a side; None where it has ended."""
    line = process.stdout.readline()
    return json.loads(line) if line else None


def work(arguments: argparse.Namespace) -> None:
    """Is one side: makes its backbone ready, and computes when it is told to."""
    if arguments.cores:
        # Before either library counts the cores to start its threads.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    sys.path.insert(0, str(ROOT))
    try:
        side = importlib.import_module(SIDES[arguments.side])
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    before = memory("VmRSS")
    shape = (arguments.batch, arguments.image_size, arguments.image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    settings = SETTINGS | {"dtype": arguments.dtype, "compile": arguments.compile}
    run, seconds = side.create(
        arguments.backbones, mode=arguments.mode, images=images, settings=settings
    )
    # What compiling took is not what computing takes.
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    called = time.perf_counter()
    run(1)
    count = max(1, round(arguments.seconds / (time.perf_counter() - called)))
    version = f"{side.VERSION} on {side.device_name()}"
    print(json.dumps({"compile_seconds": seconds, "version": version}), flush=True)
    for request in sys.stdin:
        if request.strip() == "end":
            break
        wall, processor = time.perf_counter(), time.process_time()
        run(count)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(json.dumps({"wall": wall / count, "processor": processor / count}), flush=True)
    peak = side.peak_device_bytes()
    peak = memory("VmHWM") - before if peak is None else peak
    busy = busy_share(side.device_intervals(run, _BUSY_STEPS)) if arguments.busy else None
    print(json.dumps({"peak_bytes": peak, "busy": busy}), flush=True)


def memory(field: str) -> int:
    """Returns a figure of this process's memory, in bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def busy_share(intervals: list[tuple[float, float]]) -> float | None:
    """Returns the share of the time from first to last in which at least one is running."""
    covered, end = 0.0, float("-inf")
    for start_, end_ in sorted(intervals):
        covered += max(0.0, end_ - max(start_, end))
        end = max(end, end_)
    return covered / (end - min(intervals)[0]) if intervals else None


def table_head() -> list[str]:
    """Returns the table's first two lines."""
    columns = [
        "backbone",
        "mode",
        "images/s",
        "PyTorch",
        "ratio",
        "ratio of processor time",
        "peak MiB",
        "PyTorch",
        "compile s",
        "PyTorch's first call s",
        "GPU busy",
        "PyTorch",
    ]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def row(name: str, mode: str, results: dict[str, Result], batch: int) -> str:
    """Returns a line of the table."""
    ours, peer = (results.get(side) for side in SIDES)

    def cell(result: Result | None, text: str) -> str:
        return text.format(r=result, speed=batch / statistics.median(result.wall)) if result else ""

    def ratio(kind: str) -> str:
        if not (ours and peer):
            return ""
        pairs = zip(getattr(ours, kind), getattr(peer, kind), strict=True)
        return f"{statistics.median(theirs / mine for mine, theirs in pairs):.2f}"

    cells = [name, mode]
    cells += [cell(side, "{speed:.1f}") for side in (ours, peer)]
    cells += [ratio("wall"), ratio("processor")]
    cells += [f"{side.peak_bytes / 2**20:.0f}" if side else "" for side in (ours, peer)]
    cells += [cell(side, "{r.compile_seconds:.1f}") for side in (ours, peer)]
    cells += [f"{s.busy:.2f}" if s and s.busy is not None else "" for s in (ours, peer)]
    return f"| {' | '.join(cells)} |"


def describe(versions: dict[str, str], arguments: argparse.Namespace) -> str:
    """Returns what stands above the table."""
    sides = "; ".join(f"{side}: {version}" for side, version in versions.items())
    load = os.getloadavg()[0]
    command = " ".join(["python", "benchmarks/backbones.py", *sys.argv[1:]])
    return (
        "# Backbones beside PyTorch\n\n"
        f"{datetime.date.today()}, {sides}, channels_last; {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}. Load of the machine at the "
        f"start: {load:.1f}; where it is above the number of cores, others computed beside, and "
        "the ratio of processor time, best on one core (`--cores=1`), says more than images/s.\n\n"
        f"    {command}\n\n"
        f"Batch {arguments.batch}, {arguments.image_size} px, {arguments.dtype}"
        f"{', torch.compile' if arguments.compile else ''}; medians of {arguments.repeats} turns. "
        "A ratio above 1 means that simsearch is faster.\n\n"
    )


if __name__ == "__main__":
    main()
