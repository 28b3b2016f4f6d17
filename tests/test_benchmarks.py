"""The benchmarks' own side, at a tiny size: what the library changes must not leave them behind."""

import functools
import importlib
import math
import subprocess
import sys

import numpy as np
import pytest

import simsearch
from simsearch import allocator
from simsearch.models import catalog, resnet


@pytest.fixture
def benchmark(monkeypatch):
    """Returns the function that imports a benchmark by name."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(allocator, "keep", lambda: None)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def tiny(monkeypatch):
    """The name of a backbone that is compiled in a second."""
    make = functools.partial(resnet.ResNet, (1,), bottleneck=False)
    entry = catalog.find("resnet18")._replace(make=make)
    monkeypatch.setitem(catalog._BY_NAME, "tiny", entry)
    return "tiny"


@pytest.mark.parametrize("mode", ["eval", "train", "frozen"])
def test_a_backbone_computes(benchmark, tiny, mode):
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    settings = benchmark("backbones").SETTINGS | {"embedding_size": 8, "dtype": "float32"}
    side = benchmark("backbones_jax")
    run, seconds = side.create(tiny, mode=mode, images=images, settings=settings)
    run(2)
    assert seconds > 0


def test_no_table_takes_the_place_of_another_where_our_side_fails(benchmark, tmp_path, monkeypatch):
    backbones, output = benchmark("backbones"), tmp_path / "backbones.md"
    output.write_text("measured")

    def start(*_):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen([sys.executable, "-c", ""], text=True, **pipes)

    monkeypatch.setattr(backbones, "start", start)
    monkeypatch.setattr(sys, "argv", ["backbones.py", f"--output={output}"])
    with pytest.raises(SystemExit, match="^simsearch, resnet18, eval: it failed"):
        backbones.main()
    assert output.read_text() == "measured"


@pytest.mark.parametrize("method", ["ours", "nmi_ours", "everything"])
def test_figures_are_numbers(benchmark, method):
    metrics = benchmark("metrics")
    found = metrics.METHODS[method](*metrics.make(200, 4, 16))
    assert found and all(map(math.isfinite, found.values()))


def test_the_exact_view_finds_what_numpy_finds(benchmark):
    search, rng = benchmark("search"), np.random.default_rng(0)
    vectors, queries = search.vectors_of(rng, 2000), search.vectors_of(rng, 20)
    view, expected = search.ours(vectors), search.numpys(vectors)(queries)
    assert search.recall(view(queries), expected) == 1.0
    assert view(queries[:1]) == expected[:1]


def test_every_row_of_the_ablation_is_a_configuration(benchmark):
    ablation = benchmark("ablation")
    given = {"data.source": "folder", "data.path": "images", "model.weights": "weights"}
    for overrides in ablation.ROWS.values():
        simsearch.load_config("snacks_cpu", ablation.SHORT | given | overrides)


@pytest.mark.parametrize("name", ["freezing", "serve"])
def test_a_benchmark_can_be_imported(benchmark, name):
    assert benchmark(name).main
