"""Real weights on real photographs, against figures that were measured independently."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from simsearch.models import pretrained

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"
SNACKS = SHARED / "data" / "snacks"
WEIGHTS = SHARED / "weights" / "mobilenet_v2_imagenet_bn_folded.npz"

# A process of its own: here, compiled code need not be fast, and there are 952 photographs.
SCRIPT = """
import json, sys
from simsearch import wiring
from simsearch.config import files as config_files
from simsearch.data import corrupt
from simsearch.retrieval import embed
from simsearch.retrieval.metrics import ranking
config = config_files.load_config("train", json.loads(sys.argv[1]))
embedder = embed.Embedder(config, wiring.network.initial_variables(config).variables)
split = wiring.images.load_splits(config)["test"]
found = embedder.embed_split(split, corrupt=corrupt.CorruptLog())
print(json.dumps(ranking.leave_one_out(found.embeddings, split.labels).means()))
"""


@pytest.mark.snacks
@pytest.mark.skipif(
    not (SNACKS.is_dir() and WEIGHTS.is_file()), reason=f"there is no {SNACKS} with {WEIGHTS}"
)
def test_untrained_mobilenet_v2_finds_snacks_as_well_as_was_measured_elsewhere():
    fields = {
        "data.source": "folder",
        "data.path": str(SNACKS),
        "data.resize_mode": "squash",
        "data.resize_size": 256,
        "data.image_size": 224,
        "model.backbone": "mobilenet_v2",
        "model.weights": str(WEIGHTS),
        "model.head": "none",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(fields)],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"},
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["recall_at_1"] == pytest.approx(0.644, abs=0.01)
    assert figures["map_at_r"] == pytest.approx(0.220, abs=0.01)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"there is no {WEIGHTS}")
def test_the_real_weights_are_told_to_have_no_statistics():
    assert pretrained.has_folded_batch_norm(pretrained.read_weights(str(WEIGHTS), "mobilenet_v2"))
