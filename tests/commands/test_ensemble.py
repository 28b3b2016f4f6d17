import dataclasses
import json

import numpy as np
import pytest

import simsearch
from simsearch import checkpoints, errors, runs, wiring
from simsearch.commands import ensemble, shared
from simsearch.retrieval import classifier, discriminant
from tests.commands import tiny


@pytest.fixture(scope="module")
def workdir(shapes, tmp_path_factory):
    """Two versions that saw the images in another order, with a parameter in the pooling.

    The first has the facts of one that is a mean itself.
    """
    root = tmp_path_factory.mktemp("joined")
    more = {"data.path": str(shapes), "data.cache_dir": str(root / "cache"), "model.pooling": "gem"}
    for seed in (1, 2):
        config = simsearch.load_config("train", tiny.FIELDS | more | {"sampling.seed": seed})
        simsearch.train(config, workdir=root / "runs")
    facts = root / "runs" / "version_0" / "facts.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"average_of": [7, 8]}))
    return root / "runs"


def outputs(version, images):
    """Returns what a version's head gives without a discriminant, before it is normalised."""
    with checkpoints.best_of(version) as (store, step):
        variables = store.restore_variables(step)
    network = wiring.network.create(version.config)
    _, state = network.apply(
        variables,
        images,
        train=False,
        capture_intermediates=lambda module, _: module.name == "head",
    )
    return np.asarray(state["intermediates"]["head"]["__call__"][0])


def test_its_last_layer_is_the_sum_of_theirs_and_the_version_is_whole(workdir, caplog):
    with caplog.at_level("INFO", "simsearch"):
        made = simsearch.ensemble([0, 1], workdir=workdir)
    assert made.config.model.num_backbones == 2 and "their ensemble: validation" in caplog.text
    size = made.config.data.image_size
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    one, two, both = (
        outputs(each, images) for each in (*map(runs.find, 2 * [workdir], (0, 1)), made)
    )
    assert np.abs(one - two).max() > 1e-4, "the order of the images must matter"
    np.testing.assert_allclose(both, one + two, rtol=1e-4, atol=1e-5)
    assert made.calibration_file.exists()
    with checkpoints.best_of(made) as (_, step):
        projection = discriminant.load(made, step=step).projection
    with checkpoints.best_of(runs.find(workdir, 0)) as (_, step):
        single = discriminant.load(runs.find(workdir, 0), step=step).projection
    assert projection.shape == (2 * single.shape[0], single.shape[1])
    embedder = simsearch.Embedder.from_version(made, workdir=workdir)
    found = embedder.embed(images)
    assert found.shape == (3, single.shape[1]) == (3, embedder.embedding_size)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
    with caplog.at_level("INFO", "simsearch"):
        figures = simsearch.evaluate(made.number, workdir=workdir, seed=0).figures.metrics
    assert 0 < figures["map_at_r"].value <= 1 and "classifier_accuracy" in figures
    assert "the ensemble of versions 0, 1," in caplog.text
    made.calibration_file.unlink()
    with caplog.at_level("INFO", "simsearch"):
        simsearch.resume(made.number, workdir=workdir)
    assert "the ensemble of versions 0, 1, is whole" in caplog.text
    assert made.calibration_file.exists()
    with pytest.raises(errors.UsageError, match="are ensembles already"):
        simsearch.ensemble(
            [made.number, simsearch.ensemble([1, 0], workdir=workdir).number], workdir=workdir
        )


def test_ensembles_can_be_averaged_as_other_networks_can(workdir):
    numbers = [simsearch.ensemble(order, workdir=workdir).number for order in ([0, 1], [1, 0])]
    made = simsearch.average(numbers, workdir=workdir)
    assert made.config.model.num_backbones == 2 and made.calibration_file.exists()
    assert shared.origin(made.read_facts()) == ("average", numbers)
    assert "ensemble_of" not in made.read_facts()


def test_without_a_head_the_features_are_the_embedding(workdir, shapes, tmp_path):
    fields = tiny.FIELDS | {
        "data.path": str(shapes),
        "data.cache_dir": str(tmp_path),
        "model.head": "none",
    }
    for seed in (1, 2):
        config = simsearch.load_config("train", fields | {"sampling.seed": seed})
        simsearch.train(config, workdir=tmp_path / "runs")
    made = simsearch.ensemble([0, 1], workdir=tmp_path / "runs")
    one, two = (runs.find(tmp_path / "runs", number) for number in (0, 1))
    sizes = [simsearch.Embedder.from_version(each).embedding_size for each in (one, made)]
    assert sizes[1] == 2 * sizes[0]
    # Of features of one length the cosine with them is the mean of the networks' own.
    expected = np.concatenate([classifier.load(one), classifier.load(two)], axis=1) / 2**0.5
    np.testing.assert_allclose(classifier.load(made), expected, rtol=1e-5, atol=1e-7)


def test_networks_of_another_head_are_refused(workdir, tmp_path):
    config = runs.find(workdir, 0).config
    mlp = dataclasses.replace(config, model=dataclasses.replace(config.model, head="mlp"))
    for _ in range(2):
        runs.create(tmp_path, mlp, facts={})
    with pytest.raises(errors.UsageError, match="joins networks with model.head=linear or none"):
        simsearch.ensemble([0, 1], workdir=tmp_path)


def test_an_ensemble_is_not_trained(shapes, tmp_path):
    fields = tiny.FIELDS | {"data.path": str(shapes), "model.num_backbones": 2}
    with pytest.raises(
        errors.UsageError, match="train them one by one, then join them with --mode"
    ):
        simsearch.train(simsearch.load_config("train", fields), workdir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [None, ["3"], ["3", "3"]])
def test_two_or_more_numbers_are_needed(given, tmp_path):
    with pytest.raises(errors.UsageError, match="--mode=ensemble needs --versions=A,B,…"):
        ensemble.main(versions=given, workdir=tmp_path, overrides={})
