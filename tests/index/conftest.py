import fcntl
import threading

import numpy as np
import pytest
from PIL import Image

import simsearch
from simsearch.index.lance import lock as lock_lib
from tests.index import model, stores


def pytest_generate_tests(metafunc):
    """Has every test with a store run on each of the engines that its module names."""
    if "url" in metafunc.fixturenames and hasattr(metafunc.module, "ENGINES"):
        metafunc.parametrize("url", metafunc.module.ENGINES, indirect=True)


def write_image(path, seed):
    """Writes an image of noise whose quarters have colours of their own."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (2, 2, 3)).repeat(8, 0).repeat(8, 1)
    noise = rng.integers(-20, 20, pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Twelve images in two class folders."""
    for i in range(12):
        write_image(tmp_path / "images" / "ab"[i % 2] / f"{i}.png", i)
    return tmp_path / "images"


@pytest.fixture
def url(request, tmp_path):
    """An empty store of the engine that is asked for; of LanceDB's where none is."""
    found = stores.url(getattr(request, "param", "lance"), tmp_path)
    yield found
    stores.drop_all(found)


@pytest.fixture
def asked_for_lock(monkeypatch):
    """Is set when somebody asks for the lock of a LanceDB folder."""
    asked, real = threading.Event(), fcntl.flock

    def flock(*arguments):
        asked.set()
        real(*arguments)

    monkeypatch.setattr(lock_lib.fcntl, "flock", flock)
    return asked


@pytest.fixture
def embedder():
    return model.CornerEmbedder()


@pytest.fixture
def index(url, embedder, folder):
    """An index of the folder."""
    with simsearch.Index.open(url, embedder=embedder, create=True) as opened:
        opened.sync(folder)
        yield opened
