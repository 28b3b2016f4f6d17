import dataclasses

import numpy as np
import pytest

from simsearch import checkpoints, errors, parallel, preprocessing, runs, wiring
from simsearch.config import files as config_files
from simsearch.data import corrupt as corrupt_lib
from simsearch.data.decoding import images
from simsearch.retrieval import discriminant, embed
from tests.data import sets

CONFIG = preprocessing.resolve(
    config_files.load_config(
        "demo",
        {
            "data.image_size": 16,
            "data.resize_size": 16,
            "data.interpolation": "bicubic",
            "eval.batch_size": 6,
            "model.freeze": "stem",
        },
    )
)
VARIABLES = wiring.network.initial_variables(CONFIG).variables
CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def embedder():
    return embed.Embedder(CONFIG, VARIABLES, class_names=CLASSES)


def direct(images):
    network = wiring.network.create(CONFIG)
    return np.asarray(network.apply(VARIABLES, np.asarray(images), train=False))


def test_embeddings_are_those_of_the_network_whatever_the_batch(embedder):
    images = np.stack([sets.picture(i, 16) for i in range(8)])
    expected = direct(images)
    for count in (1, 5, 8):
        found = embedder.embed(images[:count])
        assert found.dtype == np.float32
        # Another batch shape sums in another order.
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)
    assert embedder.embed(images[:0]).shape == (0, embedder.embedding_size) == (0, 64)


def test_as_many_images_at_a_time_as_is_said_or_configured(embedder, monkeypatch):
    shapes = []

    def start(embed, variables, images, devices):
        shapes.append(images.shape)
        return lambda: np.zeros((len(images), 64), np.float32)

    monkeypatch.setattr(parallel, "start", start)
    for batch_size, size in ((4, 4), (2, 2), (None, 6)):
        assert embedder.embed(np.zeros((7, 16, 16, 3), np.uint8), batch_size=batch_size).any() == 0
        assert {len(shape) for shape in shapes} == {4} and {s[0] for s in shapes} == {size}
        shapes.clear()


def test_few_images_are_computed_as_few(embedder, monkeypatch, tmp_path):
    computed, start = [], parallel.start

    def counted(function, variables, rows, devices):
        computed.append(len(rows))
        return start(function, variables, rows, devices)

    monkeypatch.setattr(parallel, "start", counted)
    images = np.stack([sets.picture(i, 16) for i in range(8)])
    for count, sizes in ((1, [2]), (3, [4]), (5, [6]), (8, [6, 6])):  # Of 2 devices, at most 6.
        computed.clear()
        embedder.embed(images[:count])
        assert computed == sizes
    computed.clear()
    (tmp_path / "0.png").write_bytes(sets.png(0))
    embedder.embed_files([tmp_path / "0.png"] * 2)
    assert computed == [2]


def test_the_fingerprint_is_that_of_the_variables_as_they_were_stored(embedder):
    assert embedder.fingerprint == embed.fingerprint(VARIABLES, pooling="average")


def test_networks_that_pool_in_another_way_have_another_fingerprint(embedder):
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, pooling="max"))
    assert embed.Embedder(config, VARIABLES).fingerprint != embedder.fingerprint
    # Indexes of earlier versions are of the average, and know this number.
    arrays = {"a": np.arange(3, dtype=np.float32)}
    assert embed.fingerprint(arrays, pooling="average").startswith("5be98b1c925c6d6f")


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.full((2, 16, 16, 3), 0.5, np.float32), r"float32 \[N, 16, 16, 3\]"),
        (np.zeros((2, 40, 40, 3), np.uint8), r"uint8 \[N, 40, 40, 3\]"),
        (np.zeros((2, 16, 16, 6), np.uint8), r"uint8 \[N, 16, 16, 6\]"),
        (np.zeros((16, 16, 3), np.uint8), r"uint8 \[N, 16, 3\]"),
    ],
)
def test_images_that_were_not_made_ready_are_refused(embedder, images, found):
    expected = r"expected images uint8 \[N, 16, 16, 3\], got "
    with pytest.raises(errors.UsageError, match=f"{expected}{found}: .*preprocess"):
        embedder.embed(images)


def test_files_are_embedded_as_the_rows_of_a_split(embedder, tmp_path):
    split = sets.make_split(7, broken=(4,))
    log = corrupt_lib.CorruptLog()
    found = embedder.embed_split(split, corrupt=log)
    assert found.valid.tolist() == [True] * 4 + [False] + [True] * 2
    assert list(log.reasons) == ["image 4"] and not found.embeddings[4].any()
    for row in (0, 6):
        (tmp_path / f"{row}.png").write_bytes(sets.png(row))
    by_file = embedder.embed_files([tmp_path / "0.png", tmp_path / "6.png"])
    np.testing.assert_allclose(by_file, found.embeddings[[0, 6]], atol=1e-5)


def test_a_file_that_is_no_image_is_named(embedder, tmp_path):
    (tmp_path / "good.png").write_bytes(sets.png(0))
    (tmp_path / "bad.png").write_bytes(b"text")
    with pytest.raises(errors.CorruptImage, match=f"^{tmp_path / 'bad.png'}: not an image"):
        embedder.embed_files([tmp_path / "good.png", tmp_path / "bad.png"])
    assert embedder.embed_files(str(tmp_path / "good.png")).shape == (1, embedder.embedding_size)
    with pytest.raises(errors.UsageError, match="gone.png cannot be read: No such file"):
        embedder.embed_files([tmp_path / "gone.png"])


def test_a_version_comes_back_as_its_best_checkpoint(tmp_path, embedder):
    version = runs.create(tmp_path, CONFIG, facts={"class_names": list(CLASSES)})
    with pytest.raises(errors.UsageError, match="holds no checkpoint yet"):
        embed.Embedder.from_version(workdir=tmp_path)
    store = checkpoints.Store(version.checkpoint_dir, monitor=CONFIG.train.monitor)
    worse = {**VARIABLES, "params": {**VARIABLES["params"], "head": zeroed_head()}}
    for step, (variables, score) in enumerate(((VARIABLES, 0.9), (worse, 0.1)), start=1):
        metrics = {CONFIG.train.monitor: score}
        store.save(step, variables=variables, training={"a": step}, about={}, metrics=metrics)
        store.wait()
    store.close()
    found = embed.Embedder.from_version(0, workdir=tmp_path)
    assert found.fingerprint == embedder.fingerprint != embed.fingerprint(worse, pooling="average")
    assert found.class_names == CLASSES and found.config == CONFIG
    layer = np.ones_like(VARIABLES["params"]["head"]["projection"]["kernel"])
    fitted = discriminant.Discriminant(layer, np.zeros((3, 64), np.float32), 1)
    discriminant.save(version, fitted)
    mapped = discriminant.into_head(VARIABLES, fitted)
    found = embed.Embedder.from_version(0, workdir=tmp_path)
    assert found.fingerprint == embed.fingerprint(mapped, pooling="average")


def zeroed_head():
    head = VARIABLES["params"]["head"]["projection"]
    return {"projection": {name: np.zeros_like(array) for name, array in head.items()}}


def test_raw_pixels_are_unit_vectors_of_the_image():
    split = sets.make_split(3)
    found = embed.embed_pixels(CONFIG, split, corrupt=corrupt_lib.CorruptLog())
    assert found.embeddings.shape == (3, 16 * 16 * 3)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-5)
    same = found.embeddings @ found.embeddings.T
    assert np.argmax(same, axis=1).tolist() == [0, 1, 2] and found.valid.all()
    broken = sets.make_split(3, broken=(1,))
    found = embed.embed_pixels(CONFIG, broken, corrupt=corrupt_lib.CorruptLog())
    assert found.valid.tolist() == [True, False, True]


def test_batches_are_spread_over_the_devices(embedder):
    assert len(parallel.local_devices()) == 2
    images = parallel.shard(np.zeros((6, 16, 16, 3), np.uint8), parallel.local_devices())
    assert [shard.data.shape[0] for shard in images.addressable_shards] == [3, 3]


def test_with_mirror_an_embedding_is_the_mean_of_both_images(embedder):
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, mirror=True))
    images = np.stack([sets.picture(i, 16) for i in range(4)])
    images[:, :, :8] //= 2  # one side darker: no picture is its own mirror image
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    both = embedder.embed(images) + embedder.embed(mirrored)
    expected = both / np.linalg.norm(both, axis=1, keepdims=True)
    found = embed.Embedder(config, VARIABLES)
    np.testing.assert_allclose(found.embed(images), expected, atol=1e-5)
    np.testing.assert_allclose(found.embed(mirrored), expected, atol=1e-5)
    assert np.abs(found.embed(images) - embedder.embed(images)).max() > 1e-3
    assert "mirror" in preprocessing.describe(config) and config != CONFIG


@pytest.mark.parametrize("mirror", [False, True])
def test_an_embedding_is_the_mean_of_all_views(mirror, embedder, tmp_path):
    data = dataclasses.replace(CONFIG.data, resize_mode="both")
    model = dataclasses.replace(CONFIG.model, mirror=mirror)
    config = dataclasses.replace(CONFIG, data=data, model=model)
    found = embed.Embedder(config, VARIABLES)
    assert (embedder.input_shape, found.input_shape) == ((16, 16, 3), (16, 16, 6))
    wide = sets.picture(3, 32)[:20]
    wide[:, :10] //= 2
    (tmp_path / "wide.png").write_bytes(images.encode_png(wide))
    image = found.preprocess((tmp_path / "wide.png").read_bytes())
    views = [image[..., :3], image[..., 3:]]
    views += [view[:, ::-1] for view in views] if mirror else []
    mean = embedder.embed(np.stack(views)).sum(0)
    expected = mean / np.linalg.norm(mean)
    np.testing.assert_allclose(found.embed(image[None])[0], expected, atol=1e-5)
    np.testing.assert_allclose(found.embed_files([tmp_path / "wide.png"])[0], expected, atol=1e-5)
    assert np.abs(embedder.embed(views[0][None])[0] - expected).max() > 1e-3
    assert "squashed and shorter side resized to 16 " in preprocessing.describe(config)
