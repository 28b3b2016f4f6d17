import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

import simsearch
from simsearch import checkpoints, runs, wiring
from simsearch.config import files as config_files
from simsearch.retrieval import calibration, embed
from tests.index import model
from tests.serve import live

FIELDS = {
    "data.image_size": 16,
    "data.resize_size": 16,
    "eval.batch_size": 8,
    "serve.max_batch": 4,
    "serve.max_upload_mb": 1.0,
    "serve.max_pixels": 4_000_000,
}
COLORS = {"cherry": (200, 40, 60), "lime": (90, 190, 60), "plum's": (110, 70, 170)}
KEY = "a key for tests"
# Random weights find all things alike: only what is nearly the same picture is a match.
CALIBRATION = calibration.Calibration(
    method="isotonic",
    weights="",
    num_same=1,
    num_different=1,
    cosines=np.array([0.9, 1.0]),
    probabilities=np.array([0.02, 0.98]),
    false_match_rates=np.array([0.0, 1.0]),
    thresholds=np.array([0.998, -1.0]),
)


def draw(color, seed, side=96):
    """Returns a picture of a fruit: a round one in a colour, somewhere."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side + 24, side), tuple(int(v) for v in rng.integers(190, 250, 3)))
    size = int(rng.integers(side // 3, side - 30))
    left, top = int(rng.integers(4, side - size)), int(rng.integers(4, side - size))
    shade = tuple(int(np.clip(v + rng.integers(-25, 25), 0, 255)) for v in color)
    ImageDraw.Draw(image).ellipse((left, top, left + size, top + size), fill=shade)
    return image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_version(root):
    """Makes a folder with one version, a small network with random weights, and returns it."""
    fields = FIELDS | {"data.cache_dir": str(root.parent / "cache")}
    config = config_files.load_config("demo", fields)
    version = runs.create(root, config, facts={"class_names": list(COLORS)})
    store = checkpoints.Store(version.checkpoint_dir, monitor=config.train.monitor)
    variables = wiring.network.initial_variables(config).variables
    weights = embed.fingerprint(variables, pooling=config.model.pooling)
    version.calibration_file.write_text(dataclasses.replace(CALIBRATION, weights=weights).to_json())
    store.save(
        1, variables=variables, training={"a": 1}, about={}, metrics={config.train.monitor: 0.5}
    )
    store.close()
    return root


def make_photos(root):
    """Draws 24 images in three class folders and returns the folder."""
    for i in range(24):
        name = list(COLORS)[i % 3]
        path = root / name / f"{i:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(COLORS[name], i).save(path, quality=95)
    return root


def make_index(url, photos, **options):
    """Makes an index of a folder and returns its URL."""
    with simsearch.Index.open(url, create=True, **options) as index:
        index.sync(photos)
    return url


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return make_version(tmp_path_factory.mktemp("served") / "runs")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("secret place") / "photos")


@pytest.fixture(scope="session")
def url(workdir, photos):
    """An index of the photos by the version's network."""
    return make_index(f"lance:{workdir.parent / 'fruits'}", photos, workdir=workdir)


@pytest.fixture(scope="session")
def embedder():
    """A model that has nothing to compile."""
    fields = FIELDS | {"data.image_size": 8, "data.resize_size": 8}
    return model.CornerEmbedder(config_files.load_config("demo", fields))


@pytest.fixture(scope="session")
def quick_url(tmp_path_factory, photos, embedder):
    """An index of the photos by that model."""
    url = f"lance:{tmp_path_factory.mktemp('corners') / 'fruits'}"
    return make_index(url, photos, embedder=embedder)


@pytest.fixture(scope="session")
def server(quick_url, embedder):
    """A server with a key in a thread of this process."""
    with live.serving(quick_url, embedder=embedder, api_key=KEY) as running:
        yield running
