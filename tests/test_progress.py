"""How far a long work is: said in lines where there is no terminal."""

import logging
import subprocess
import sys

from simsearch import progress
from tests import cli


def test_without_a_terminal_lines_say_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    caplog.set_level(logging.INFO, logger="simsearch")
    with progress.bar(total=3, description="index", unit="image") as bar:
        for _ in range(3):
            bar.set_postfix_str("loss 0.5", refresh=False)
            bar.update()
    starts = [message.split(",")[0] for message in caplog.messages]
    assert starts == [f"index: {done} of 3" for done in range(4)]
    assert " left, " in caplog.messages[2] and caplog.messages[2].endswith("loss 0.5")


def test_the_time_of_the_first_step_says_nothing_of_the_rest(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    bar = progress.bar(total=12, description="compiling", unit="step", initial=2)
    bar._time = lambda: now[0]
    now[0] = 100
    progress.restart(bar)
    for _ in range(5):
        now[0] += 2
        bar.update()
    assert "7 of 12, 00:10 left,  2.00s/step" in str(bar)


def test_a_training_needs_no_bar(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "main.py", "--config", "demo", f"--workdir={tmp_path}"),
            *("--config.train.num_steps=1", f"--config.data.cache_dir={tmp_path}"),
        ],
        capture_output=True,
        text=True,
        env=cli.environment(TQDM_DISABLE="1"),
        cwd=cli.ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_gives_its_messages_a_place():
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import simsearch; simsearch.progress.log_to_stdout(); "
            "simsearch.progress.log.info('hello')",
        ],
        capture_output=True,
        text=True,
        cwd=cli.ROOT,
    )
    assert done.stdout == "hello\n", done.stderr


def test_quick_work_says_nothing(caplog):
    caplog.set_level(logging.INFO, logger="simsearch")
    assert list(progress.track(range(5), total=5, description="index", unit="image")) == [*range(5)]
    assert not caplog.messages


def test_a_name_that_is_no_text_is_said_with_escapes():
    script = (
        "from simsearch import progress; progress.log_to_stdout(); "
        "progress.log.warning('skipped %s', 'caf\\udce9.png')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=cli.environment(PYTHONIOENCODING="utf-8:strict"),
        cwd=cli.ROOT,
    )
    assert done.stdout == "WARNING: skipped caf\\udce9.png\n", done.stderr


def test_epochs_have_no_exponent():
    told = [progress.epoch(number) for number in (0, 0.3333, 16, 99.96, 1451.2, 12345)]
    assert told == ["0", "0.333", "16", "100", "1451", "12345"]
