"""Studies in a real database; a process that ended is one whose study was closed."""

import concurrent.futures
import threading
import time

import optuna
import pytest
import sqlalchemy

from simsearch import errors
from simsearch.sweeps import database, trials, workers
from tests.sweeps.studies import IMAGES, SMALL, finish, opened, score

GRID = SMALL | {
    "sweep.sampler": "grid",
    "sweep.num_trials": 0,
    "sweep.space.optimizer.learning_rate": [1e-4, 1e-3, 1e-2],
    "sweep.space.optimizer.weight_decay": [0.0, 1e-3],
}


def test_a_study_runs_its_trials_once_and_ranks_them(tmp_path):
    with opened(tmp_path) as study:
        assert finish(study) == [0, 1, 2, 3]
    with opened(tmp_path) as study:
        assert finish(study) == []
        rows = study.rows()
    assert [row.value for row in rows] == sorted((row.value for row in rows), reverse=True)
    assert len({row.params["optimizer.learning_rate"] for row in rows}) == 4
    assert all(row.version == 100 + row.number and row.is_here for row in rows)
    text = trials.table(rows, monitor="map_at_r").splitlines()
    assert len(text) == 5 and len({len(line) for line in text}) == 1
    assert text[1].split()[:3] == [str(rows[0].number), str(rows[0].version), "finished"]


def test_a_database_in_memory_is_of_one_process(tmp_path):
    with opened(tmp_path, SMALL | {"sweep.storage": "sqlite://"}) as study:
        assert finish(study) == [0, 1, 2, 3]


def test_more_trials_are_added_and_the_seed_repeats_their_values(tmp_path):
    with opened(tmp_path / "a", SMALL | {"sweep.num_trials": 2}) as study:
        assert finish(study) == [0, 1]
    with opened(tmp_path / "a") as study:
        assert finish(study) == [2, 3]
        stopped = {row.number: row.params for row in study.rows()}
    with opened(tmp_path / "b") as study:
        finish(study)
        assert {row.number: row.params for row in study.rows()} == stopped


def test_a_grid_is_covered_and_a_part_of_it_grows(tmp_path):
    with opened(tmp_path, GRID | {"sweep.num_trials": 4}) as study:
        assert len(finish(study)) == 4
        part = {tuple(row.params.values()) for row in study.rows()}
    with opened(tmp_path, GRID) as study:
        assert len(finish(study)) == 2
        whole = [tuple(row.params.values()) for row in study.rows()]
    grid = {(rate, decay) for rate in (1e-4, 1e-3, 1e-2) for decay in (0.0, 1e-3)}
    assert len(part) == 4 and part < grid == set(whole) and len(whole) == 6
    assert part != set(sorted(grid)[:4]), "it is drawn, not the grid's beginning"


def test_bad_trials_are_pruned_and_count(tmp_path):
    pruning = SMALL | {
        "sweep.sampler": "grid",
        "sweep.num_trials": 0,
        "sweep.space.optimizer.weight_decay": None,
        "sweep.space.optimizer.learning_rate": [1e-3, 9e-4, 1e-4, 8e-4],
        "sweep.pruner": "median",
        "sweep.startup_trials": 2,
        "sweep.warmup_validations": 1,
    }
    with opened(tmp_path, pruning) as study:
        while (trial := study.next_trial()) is not None:
            pruned = False
            for index in (1, 2, 3):
                pruned = pruned or trial.report(index, score(trial.params))
                if pruned:
                    break
            trial.end(**{"pruned": True} if pruned else {"value": score(trial.params)})
        rows = study.rows()
    cut = [row for row in rows if row.state == "pruned"]
    assert [row.state for row in rows] == ["finished"] * 2 + ["pruned"] * 2
    assert all(row.num_validations == 2 for row in cut), "the warm-up is over after one"
    assert cut[-1].params["optimizer.learning_rate"] == 1e-4
    assert cut[-1].value == pytest.approx(score(cut[-1].params))


def test_a_trial_of_a_process_that_died_goes_on_with_its_version(tmp_path):
    with opened(tmp_path) as study:
        first = study.next_trial()
        first.begun(7)
        first.report(1, 0.25)
    with opened(tmp_path) as study:
        again = study.next_trial()
        assert (again.number, again.version, again.params) == (0, 7, first.params)
        again.report(1, 0.75)  # Reported before: what was said first stands.
        again.report(2, 0.5)
        assert again.end(value=0.5)
        assert finish(study) == [1, 2, 3]
        row = next(row for row in study.rows() if row.number == 0)
    assert (row.value, row.num_validations) == (0.5, 2)


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_that_goes_on_is_pruned_where_it_was_and_nowhere_else(tmp_path, pruner):
    pruning = {"sweep.num_trials": 9, "sweep.pruner": pruner, "sweep.startup_trials": 1}

    def bad_at(trial):
        value = 1 / (1 + trial.number)
        return next((index for index in range(1, 10) if trial.report(index, value)), None)

    with opened(tmp_path, SMALL | pruning) as study:
        while (index := bad_at(trial := study.next_trial())) is None:
            assert trial.end(value=1 / (1 + trial.number))
    assert index > 1
    with opened(tmp_path, SMALL | pruning) as study:
        again = study.next_trial()
        assert again.number == trial.number
        assert bad_at(again) == index


@pytest.mark.parametrize(("fields", "count"), [(SMALL, 4), (GRID, 6)])
def test_a_trial_of_a_process_that_lives_is_left_alone(tmp_path, fields, count):
    with opened(tmp_path, fields) as one, opened(tmp_path, fields) as two:
        first = one.next_trial()
        assert finish(two) == [*range(1, count)]
        assert first.end(value=0.1)
        assert len(one.rows()) == count


def test_a_trial_lost_on_another_machine_is_begun_anew_and_counts_once(tmp_path, monkeypatch):
    with opened(tmp_path, GRID) as one, opened(tmp_path, GRID, folder="two") as two:
        lost = one.next_trial()
        lost.begun(3)
        with lost.alive():
            pass
        assert len(finish(two)) == 5, "it showed a sign of life just now"
        monkeypatch.setattr(workers, "LOST_SECONDS", -1)
        time.sleep(0.01)
        [number] = finish(two)
        assert not lost.end(value=0.9)
        rows = two.rows()
    again = next(row for row in rows if row.number == number)
    assert again.params == lost.params and len(rows) == 6
    assert {row.is_here for row in rows} == {True}
    with opened(tmp_path, GRID, folder="two") as two:
        assert len(two.rows()) == 6, "its point of the grid is there"


def test_a_failed_trial_counts_and_says_why(tmp_path):
    with opened(tmp_path) as study:
        study.next_trial().end(error="the loss is not finite")
        assert finish(study) == [1, 2, 3]
        last = study.rows()[-1]
    assert (last.state, last.error, last.value) == ("failed", "the loss is not finite", None)


def test_a_trials_figure_so_far_is_its_best_and_one_that_is_missing_is_none(tmp_path):
    with opened(tmp_path) as study:
        trial = study.next_trial()
        for index, value in ((1, None), (2, -0.5), (3, -0.7)):
            trial.report(index, value)
        [row] = study.rows()
    assert (row.state, row.value, row.num_validations) == ("running", -0.5, 3)


def test_another_sweep_under_the_same_name_is_refused(tmp_path):
    with opened(tmp_path):
        pass
    changed = {"train.num_epochs": 3, "sweep.space.optimizer.learning_rate": (1e-4, 1e-2, "log")}
    with pytest.raises(errors.UsageError) as caught, opened(tmp_path, SMALL | changed):
        pass
    for words in ("train.num_epochs: 10 -> 3", "sweep.space.optimizer.learning_rate", "study=NAME"):
        assert words in str(caught.value)
    elsewhere = {"data.cache_dir": "/elsewhere", "sweep.num_trials": 1}
    with opened(tmp_path, SMALL | elsewhere):
        pass
    with opened(tmp_path, SMALL | changed | {"sweep.study": "other"}):
        pass


def test_other_images_under_the_same_name_are_refused(tmp_path):
    with opened(tmp_path):
        pass
    grown = IMAGES | {"train images": [40, "d"]}
    words = "other values: train images: 30 then, 40 now, and not the same; leave them"
    with pytest.raises(errors.UsageError, match=words), opened(tmp_path, images=grown):
        pass
    with opened(tmp_path, SMALL | {"data.cache_dir": "/elsewhere"}):
        pass


def test_a_study_that_knows_no_images_yet_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        to_be_stored = optuna.Study.set_user_attr
        earlier.setattr(
            optuna.Study,
            "set_user_attr",
            lambda study, key, about: to_be_stored(
                study, key, {name: part for name, part in about.items() if name != "images"}
            ),
        )
        with opened(tmp_path):
            pass
    with opened(tmp_path) as study:
        assert finish(study) == [0, 1, 2, 3]


@pytest.mark.parametrize("names", [("one", "one"), ("one", "other")])
def test_two_that_are_started_at_one_moment_make_the_same_file(tmp_path, names):
    # Threads serve as processes: each holds the lock by a file of its own.
    barrier = threading.Barrier(2)

    def start(name):
        barrier.wait()
        with opened(tmp_path, SMALL | {"sweep.study": name}, folder=name) as study:
            number = study.next_trial().number
            barrier.wait()  # What one that has ended left behind is the other's.
            return number

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        numbers = list(pool.map(start, names))
    assert sorted(numbers) == ([0, 1] if names == ("one", "one") else [0, 0])


def test_a_server_on_which_another_machine_makes_the_tables_is_tried_again(tmp_path, monkeypatch):
    make, told = optuna.storages.RDBStorage.__init__, ["table studies already exists"]

    def slower(*arguments, **options):
        if told:
            raise sqlalchemy.exc.ProgrammingError("CREATE TABLE", {}, Exception(told.pop()))
        make(*arguments, **options)

    monkeypatch.setattr(database, "_PAUSE", 0)
    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", slower)
    with opened(tmp_path) as study:
        assert finish(study) == [0, 1, 2, 3]
    told += ["table studies already exists"] * 3
    with pytest.raises(errors.UsageError, match="could not be opened.*already exists"):
        with opened(tmp_path):
            pass


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nothing", "could not be opened"),
        ("sqlite:////proc/no/sweep.db", "unable to open"),
        ("oracle://me:secret@nowhere/x", "could not be opened"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line(tmp_path, url, words):
    with pytest.raises(errors.UsageError) as caught, opened(tmp_path, {"sweep.storage": url}):
        pass
    message = str(caught.value)
    assert words in message and "\n" not in message and "secret" not in message


def test_the_field_that_matters_is_found(tmp_path):
    with opened(tmp_path, GRID) as study:
        assert study.importances(seed=0) == {}
        finish(study)
        shares = study.importances(seed=0)
    with opened(tmp_path / "few", GRID | {"sweep.num_trials": 3}) as study:
        assert len(finish(study)) == 3 and study.importances(seed=0) == {}
    assert list(shares) == ["optimizer.learning_rate", "optimizer.weight_decay"]
    assert shares["optimizer.learning_rate"] > 0.9
