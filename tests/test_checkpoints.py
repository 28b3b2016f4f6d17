import gc
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsearch import checkpoints, errors


def tree(value):
    return {"params": {"a": jnp.full((2, 3), value, jnp.float32)}, "batch_stats": {}}


def save(store, step, score=None):
    store.save(
        step,
        variables=tree(step),
        proxies={"softmax": jnp.full((4, 3), step, jnp.float32)},
        training={"count": jnp.int32(step)},
        about={"config": {"a": 1}},
        metrics=None if score is None else {"map_at_r": score, "other": 0.0},
    )


def test_the_newest_and_the_best_are_kept(tmp_path):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    assert store.newest_step() is None and store.best_step() is None
    for step, score in ((1, 0.5), (2, 0.9), (3, None), (4, 0.7), (5, 0.6), (6, None)):
        save(store, step, score)
    store.wait()
    assert (store.newest_step(), store.best_step()) == (6, 2)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [2, 6]
    assert store.metrics(2)["map_at_r"] == 0.9
    assert store.metrics(6) == {}
    store.close()


def test_what_a_killed_process_left_half_written_goes_where_training_goes_on(tmp_path):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 1)
    store.close()
    half = tmp_path / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "1", half)
    store = checkpoints.open_to_read(tmp_path, monitor="map_at_r")
    assert store.newest_step() == 1 and half.exists()
    store.close()
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    assert store.newest_step() == 1
    save(store, 3)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_of_equal_ones_the_first_is_the_best(tmp_path):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.9), (4, float("nan")), (5, 0.9)):
        save(store, step, score)
    assert store.best_step() == 2 and store.metrics(2) == {"map_at_r": 0.9, "other": 0.0}
    store.close()


def test_what_is_restored_is_what_was_saved(tmp_path):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 3)
    store.close()
    store = checkpoints.open_to_read(tmp_path, monitor="map_at_r")
    assert store.best_step() == 3
    found = store.restore(
        3, variables=jax.eval_shape(lambda: tree(0)), training={"count": jnp.int32(0)}, proxies={}
    )
    np.testing.assert_array_equal(found["variables"]["params"]["a"], np.full((2, 3), 3))
    assert int(found["training"]["count"]) == 3 and found["proxies"] == {}
    proxies = store.restore_proxies(3, {"softmax": jnp.zeros((4, 3))})
    np.testing.assert_array_equal(proxies["softmax"], np.full((4, 3), 3))
    alone = store.restore_variables(3)
    np.testing.assert_array_equal(alone["params"]["a"], np.full((2, 3), 3))
    assert jax.tree.structure(alone) == jax.tree.structure(tree(0))


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT_VERSION", 99)
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 1)
    store.close()
    monkeypatch.undo()
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    with pytest.raises(errors.UsageError, match="format 99 .* up to 2; update simsearch"):
        store.restore(1, variables=tree(0))
    with pytest.raises(errors.UsageError, match="format 99 .* up to 2; update simsearch"):
        store.restore_variables(1)


def test_a_checkpoint_with_other_shapes_is_refused_in_one_line(tmp_path):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 1)
    store.wait()
    other = {"params": {"b": jnp.zeros((4,))}, "batch_stats": {}}
    with pytest.raises(errors.RunError, match="could not be read") as caught:
        store.restore(1, variables=other)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_checkpoint_says_how_to_train_on(tmp_path):
    folder = tmp_path / "version_4" / "checkpoints"
    with pytest.raises(errors.UsageError, match="--mode=train --workdir=.* --version=4"):
        checkpoints.open_to_read(folder, monitor="map_at_r")


def test_the_configuration_is_in_the_checkpoint(tmp_path):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 1)
    store.close()
    stored = json.loads((tmp_path / "1" / "about" / "metadata").read_text())
    assert stored == {"format_version": checkpoints.FORMAT_VERSION, "config": {"a": 1}}


def test_a_disk_that_is_too_small_is_told_before_training(tmp_path, monkeypatch):
    state = {"a": np.zeros(1_000_000, np.float32)}
    usage = checkpoints.shutil.disk_usage(tmp_path)
    checkpoints.check_space(tmp_path, state, num_stored=0)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: usage._replace(free=11_000_000))
    with pytest.raises(errors.RunError, match="need 12 MB in .* and 11 MB are free"):
        checkpoints.check_space(tmp_path, state, num_stored=0)
    # Going on, two of the three are there.
    checkpoints.check_space(tmp_path, state, num_stored=2)


def test_the_folder_is_let_go_of_where_a_write_failed(tmp_path, monkeypatch):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    real, closed = store._manager.close, []

    def fail():
        raise OSError("no such disk")

    monkeypatch.setattr(store._manager, "wait_until_finished", fail)
    monkeypatch.setattr(store._manager, "close", lambda: closed.append(True))
    with pytest.raises(errors.RunError, match="no such disk"):
        store.close()
    assert closed
    monkeypatch.undo()
    real()


def test_a_disk_that_fills_up_while_writing_is_one_line(tmp_path, monkeypatch):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")

    def full(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: Error writing a:\nNo space left on device")

    monkeypatch.setattr(store._manager, "save", full)
    with pytest.raises(errors.RunError, match="no space left on the disk") as caught:
        save(store, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_one_line_that_says_what_to_do(tmp_path):
    store = checkpoints.Store(tmp_path / "whole", monitor="map_at_r")
    save(store, 1, 0.9)
    save(store, 2, 0.5)
    store.close()
    files = [path for path in (tmp_path / "whole" / "1").rglob("*") if path.is_file()]
    told = 0
    for number, file in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        (folder / file.relative_to(tmp_path / "whole")).write_bytes(b"")
        try:
            damaged = checkpoints.open_to_read(folder, monitor="map_at_r")
            found = damaged.restore_variables(1)
            np.testing.assert_array_equal(found["params"]["a"], np.full((2, 3), 1))
        except errors.RunError as error:
            told += 1
            assert "could not be read" in str(error) and "away" in str(error)
            assert "\n" not in str(error)
    assert told >= 3
    gc.collect()  # What orbax left of the reads says so here, and not amid another test.


def test_what_the_machine_lacks_is_not_called_damage(tmp_path, monkeypatch):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 1)
    store.wait()

    def failing(*_, **__):
        raise MemoryError

    monkeypatch.setattr(store._manager, "restore", failing)
    with pytest.raises(MemoryError):
        store.restore_variables(1)


def test_ctrl_c_while_a_checkpoint_is_read_is_not_called_damage(tmp_path, monkeypatch):
    store = checkpoints.Store(tmp_path, monitor="map_at_r")
    save(store, 1)
    store.wait()

    def interrupted(*_, **__):
        try:
            raise KeyboardInterrupt("Ctrl-C")
        except KeyboardInterrupt as interrupt:
            raise Exception("Encountered error while reading array index") from interrupt

    monkeypatch.setattr(store._manager, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt, match="Ctrl-C"):
        store.restore_variables(1)
    monkeypatch.setattr(store._manager, "save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="Ctrl-C"):
        save(store, 2)
