"""Two CPU devices for every test, whatever the machine has, and a small set of images.

The forms of a convolution can be compared on another platform as well:
SIMSEARCH_TEST_PLATFORM=cuda python -m pytest tests/models/test_layers.py
"""

import os

os.environ["JAX_PLATFORMS"] = os.environ.get("SIMSEARCH_TEST_PLATFORM", "cpu")
# Compiling is what takes the tests long; what is compiled computes the same.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from PIL import Image, ImageDraw

jax.config.update("jax_num_cpu_devices", 2)

SHAPES = {"circle": (220, 60, 60), "square": (60, 160, 60), "triangle": (70, 70, 220)}


def draw_shape(name, rng, side=24):
    """Returns a coloured shape at a random place over noise."""
    noise = rng.integers(0, 60, (side, side, 3), np.uint8)
    image = Image.fromarray(noise)
    draw = ImageDraw.Draw(image)
    color = tuple(int(c + rng.integers(-30, 30)) for c in SHAPES[name])
    size = int(rng.integers(side // 2, side - 6))
    left, top = (int(v) for v in rng.integers(1, side - size - 1, 2))
    box = (left, top, left + size, top + size)
    if name == "circle":
        draw.ellipse(box, fill=color)
    elif name == "square":
        draw.rectangle(box, fill=color)
    else:
        draw.polygon(
            [(left, top + size), (left + size, top + size), (left + size // 2, top)], fill=color
        )
    return image


@pytest.fixture(autouse=True)
def compiled_elsewhere():
    """Forgets where a test kept its compiled programs: its folder goes with it."""
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A folder of train, val and test folders of three classes: 30, 12 and 15 images."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4), ("test", 5)):
        for name in SHAPES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                draw_shape(name, rng).save(folder / f"{i}.png")
    return root
