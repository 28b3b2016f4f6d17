import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

import simsearch
from simsearch import checkpoints, config_files, runs, wiring
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


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """A folder with one version: a small network with random weights."""
    root = tmp_path_factory.mktemp("served") / "runs"
    config = config_files.load_config("demo", FIELDS)
    version = runs.create(root, config)
    version.write_facts({"class_names": list(COLORS)})
    store = checkpoints.Store(version.checkpoint_dir, monitor=config.train.monitor)
    variables = wiring.initial_variables(config).variables
    store.save(
        1, variables=variables, optimizer={"a": 1}, about={}, metrics={config.train.monitor: 0.5}
    )
    store.close()
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 24 images in three class folders."""
    root = tmp_path_factory.mktemp("secret place") / "photos"
    for i in range(24):
        name = list(COLORS)[i % 3]
        path = root / name / f"{i:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(COLORS[name], i).save(path, quality=95)
    return root


@pytest.fixture(scope="session")
def url(workdir, photos):
    """An index of the photos by the version's network."""
    return make_index(f"lance:{workdir.parent / 'fruits'}", photos, workdir=workdir)


@pytest.fixture(scope="session")
def server(tmp_path_factory, photos):
    """A server with a key in a thread of this process; its model has nothing to compile."""
    config = config_files.load_config(
        "demo", FIELDS | {"data.image_size": 8, "data.resize_size": 8}
    )
    embedder = model.CornerEmbedder(config)
    url = f"lance:{tmp_path_factory.mktemp('corners') / 'fruits'}"
    make_index(url, photos, embedder=embedder)
    with live.serving(url, embedder=embedder, api_key=KEY) as running:
        yield running


def make_index(url, photos, **options):
    with simsearch.Index.open(url, create=True, **options) as index:
        index.sync(photos)
    return url
