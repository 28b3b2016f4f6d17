import logging
import math

import numpy as np
import pytest

from simsearch import errors
from simsearch.config import files as config_files
from simsearch.training import step as step_lib
from simsearch.training import window as window_lib

CONFIG = config_files.load_config("train", {"train.log_every_steps": 3, "train.batch_size": 8})


def metrics(loss=0.1, active=0.5, spread=0.8):
    values = (np.float32(value) for value in (loss, active, spread, 1.0, 1.0))
    triplet = step_lib.TermFigures(np.float32(loss), np.float32(active))
    return step_lib.StepMetrics(*values, terms={"triplet": triplet})


def closed(*rows, config=CONFIG):
    window = window_lib.Window(config)
    for row in rows:
        window.add(row)
    return window.close(len(rows))


def test_a_window_is_due_after_the_first_step_and_then_every_so_many():
    window = window_lib.Window(CONFIG)
    assert not window.is_due
    due = []
    for step in range(1, 9):
        window.add(metrics())
        due.append(window.is_due)
        if window.is_due:
            window.close(step)
    assert due == [True, False, False, True, False, False, True, False]


def test_means_are_over_the_window_and_the_compiling_step_has_no_rate():
    window = window_lib.Window(CONFIG)
    window.add(metrics())
    assert "images_per_second" not in window.close(1)
    for loss in (1.0, 2.0, 6.0):
        window.add(metrics(loss=loss))
    means = window.close(4)
    assert means["loss"] == pytest.approx(3.0)
    assert means["images_per_second"] > 0


def test_the_rate_is_that_of_all_steps_of_the_window_since_the_clock_was_started(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    window = window_lib.Window(CONFIG)
    window.add(metrics())
    window.close(1)
    now[0] = 100  # A validation's.
    window.restart_clock()
    for _ in range(3):
        window.add(metrics())
    now[0] = 102
    assert window.close(4)["images_per_second"] == pytest.approx(3 * 8 / 2)


def test_the_figures_of_several_losses_and_of_the_class_vectors_are_told_by_name():
    window = window_lib.Window(CONFIG)
    softmax = step_lib.TermFigures(np.float32(0.7), np.float32(1.0))
    row = metrics(loss=0.4)
    assert not {"loss_triplet", "classifier_accuracy"} & {*closed(row)}
    terms = row.terms | {"normalised_softmax": softmax}
    window.add(row._replace(terms=terms, accuracy=np.float32(0.9)))
    found = window.close(1)
    assert {name: found[name] for name in found if name.startswith(("loss_", "class"))} == {
        "loss_triplet": pytest.approx(0.4),
        "loss_normalised_softmax": pytest.approx(0.7),
        "classifier_accuracy": pytest.approx(0.9),
    }


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_its_step(loss):
    window = window_lib.Window(CONFIG)
    window.add(metrics())
    window.close(10)
    for value in (0.1, loss, 0.1):
        window.add(metrics(loss=value))
    with pytest.raises(errors.RunError, match="loss of step 12 is (nan|inf)"):
        window.close(13)


@pytest.fixture
def warnings_of(caplog):
    caplog.set_level(logging.WARNING, logger="simsearch")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_collapsed_embedding_is_told_once_with_what_to_change(warnings_of):
    window = window_lib.Window(CONFIG)
    for step in (1, 2):
        window.add(metrics(spread=0.001))
        window.close(step)
    (message,) = warnings_of()
    assert "collapsed at step 1" in message and "optimizer.learning_rate" in message


def test_a_loss_that_sits_at_the_margin_is_told(warnings_of):
    margin = CONFIG.loss.triplet.margin
    closed(metrics(loss=margin, active=1.0, spread=0.05))
    assert "triplet loss 1.0000 where equal embeddings have 1.0000" in warnings_of()[0]
    assert "miner" not in warnings_of()[0]


def test_a_hard_miner_is_advised_against(warnings_of):
    config = config_files.load_config("train", {"loss.triplet.miner": "batch_hard"})
    closed(metrics(spread=0.001), config=config)
    assert "use loss.triplet.miner=batch_all or semi_hard" in warnings_of()[0]


@pytest.mark.parametrize(("margin", "loss"), [(0.2, math.log1p(math.exp(0.2))), (1000, 1000)])
def test_a_soft_margin_sits_at_the_softplus_of_the_margin(margin, loss, warnings_of):
    config = config_files.load_config(
        "train", {"loss.triplet.soft_margin": True, "loss.triplet.margin": margin}
    )
    closed(metrics(loss=loss, active=1.0, spread=0.05), config=config)
    assert len(warnings_of()) == 1


def test_a_healthy_run_is_not_warned_of(warnings_of):
    closed(metrics(), metrics(loss=CONFIG.loss.triplet.margin, active=0.6))
    # Well spread and still without a class: all triplets are active at the margin.
    closed(metrics(loss=CONFIG.loss.triplet.margin, active=1.0, spread=0.3))
    assert warnings_of() == []


def test_a_second_collapse_is_told_again(warnings_of):
    window = window_lib.Window(CONFIG)
    for step, spread in enumerate((0.001, 0.5, 0.001), 1):
        window.add(metrics(spread=spread))
        window.close(step)
    assert [message.split(":")[0][-6:] for message in warnings_of()] == ["step 1", "step 3"]
