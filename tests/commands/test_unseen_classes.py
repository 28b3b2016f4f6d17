"""A training and an evaluation of `data.split=class`, from the images to the figures."""

import functools

import numpy as np

import simsearch
from simsearch.models import catalog, resnet
from simsearch.training import records, run

FIELDS = {
    "data.split": "class",
    "data.test_classes": "3, 7",
    "data.image_size": 16,
    "data.resize_size": 18,
    "model.embedding_size": 16,
    "train.batch_size": 12,
    "train.num_devices": 1,
    "train.num_epochs": 0,
    "train.num_steps": 4,
    "sampling.samples_per_class": 2,
    "eval.num_bootstrap": 50,
    "eval.pixel_baseline": False,
}


def test_the_classes_that_are_measured_are_not_those_that_were_trained_on(tmp_path, monkeypatch):
    # One block in place of eight: they would take most of the time to compile.
    trunk = functools.partial(resnet.ResNet, (1,), bottleneck=False)
    monkeypatch.setitem(catalog._BY_NAME, "resnet18", catalog.find("resnet18")._replace(make=trunk))
    fed, replicate = set(), run.parallel.replicate_step

    def replicate_step(step, devices):
        replicated = replicate(step, devices)

        def spied(state, batch, key):
            fed.update(np.asarray(batch.labels).ravel().tolist())
            return replicated(state, batch, key)

        return spied

    monkeypatch.setattr(run.parallel, "replicate_step", replicate_step)
    config = simsearch.load_config("demo", FIELDS | {"data.cache_dir": str(tmp_path / "cache")})
    version = simsearch.train(config, workdir=tmp_path / "runs")
    found = simsearch.evaluate(version.number, workdir=tmp_path / "runs", seed=0).figures

    classes = version.read_facts()["classes"]
    assert {str(label) for label in fed} == set(classes["train"]) and len(fed) == 6
    assert set(found.per_class) == set(classes["test"]) == {"3", "7"}
    assert not fed & {int(name) for name in classes["validation"] + classes["test"]}
    assert 0.5 < found.metrics["recall_at_1"].value <= 1
    # Trained with class vectors, which say nothing of other classes.
    steps = records.read(version.metrics_file)
    assert "classifier_accuracy" in steps[0] and "recall_at_1" in steps[-1]
    for measured in (steps[-1], found.metrics):
        assert not {"classifier_accuracy", "knn_accuracy"} & set(measured)
    assert found.notes and not version.discriminant_file.exists()
