"""What a user can do wrong: one line that says what to do, never a traceback."""

import os
import signal
import subprocess
import sys

import pytest

import main
from simsearch import runs
from tests import cli


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, shapes):
    """Returns the function from flags to exit code and message, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("simsearch.progress.log_to_stdout", lambda: None)

    def call(*flags):
        main.FLAGS.unparse_flags()
        for flag in main.FLAGS.get_flags_for_module(main):
            flag.unparse()
        code = main.main(["main.py", *flags])
        return code, capsys.readouterr().err

    return call


def folder_flags(path, *more):
    return ["--config.data.source=folder", f"--config.data.path={path}", *more]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--mode=sail"],
            "one of <train|eval|index|search|serve|download|preview|sweep|compare|average|"
            "ensemble>",
        ),
        (["--mod=eval"], "Unknown command line flag 'mod'. Did you mean: mode ?"),
        (["eval"], "unexpected argument 'eval'"),
        (["--mode=trian"], "|ensemble>; did you mean train?"),
        (["--mode=eval", "--split=vaild"], "one of <train|validation|test>; did you mean valid"),
        (["--confg.train.seed=2"], "flag --confg.train.seed; did you mean --config.train.seed?"),
        (["--train.seed=2"], "did you mean --config.train.seed?"),
        (["--loss.epsilon=2"], "did you mean --config.loss.multi_similarity.epsilon?"),
        (["--eval.margin=2"], "mean --config.loss.triplet.margin or --config.loss.circle.margin"),
        (["--some.thing"], "unknown flag --some.thing; fields are set by --config.group.field="),
        (["--version=one"], "--version=one must be an integer"),
        (["--mode=serve", "--port=70000"], "--port=70000 must be an integer in the range [0, 65"),
        (["--mode=search", "--json=maybe"], "--json=maybe must be true or false"),
        (["--mode=compare", "--split=: a"], "--split=: a must be one of <train"),
        (["--mode=eval", "--versions=0"], "--versions is not read by --mode=eval, which reads"),
        (["--images=DIR"], "--images is not read by --mode=train, which reads --config,"),
        (["--mode=download", "--output=DIR", "--workdir=W"], "reads --config, --output and"),
        (["--num_show_similar=0"], "num_show_similar"),
        (["--mode=eval", "--num_show_similar=500"], "--num_show_similar=500 must be an integer in"),
        (["--config=nothing"], "choose from demo"),
        (["--config.model.backbon=resnet18"], "did you mean model.backbone?"),
        (["--config.train.seed=x"], "must be an integer"),
        (["--mode=eval"], "no version found in runs"),
        (["--mode=train", "--version=3"], "no version found in runs"),
        (["--mode=download", "--config=demo"], "needs --output=DIR"),
        (["--config=demo", "--config.train.batch_size=81"], "multiple of"),
        (["--config=demo", "--config.train.num_devices=9"], "this machine has 2"),
        (["--config=demo", "--config.data.source=floppy"], "floppy"),
        (["--config=demo", "--config.model.backbone=resnet51"], "did you mean resnet50?"),
        (["--config=demo", "--config.model.freeze=7"], "number of stages from 1 to 4"),
        (["--config=demo", "--config.model.weights=none.npz"], "there is no such file"),
        (["--config=demo", "--workdir=/proc/no"], "must be a folder that can be written"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(run, flags, words):
    code, message = run(*flags)
    assert code == 2 and words in message
    assert message.startswith("error: ") and message.count("\n") == 1


def test_a_batch_that_the_devices_cannot_share(run):
    flags = [
        "--config=demo",
        "--config.train.batch_size=45",
        "--config.sampling.samples_per_class=3",
    ]
    code, message = run(*flags)
    assert code == 2 and "train.batch_size=45 must divide over 2 devices; try 44 or 46" in message


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({}, "class folders"),
        ({"a.jpg": b""}, "class folders"),
        ({"cat/1.jpg": b"", "cat/2.jpg": b""}, "at least 2 classes"),
        ({"cat/1.jpg": b"", "dog/1.jpg": b"", "dog/2.jpg": b""}, "split has 0 images"),
        ({"cat/1.jpg": b"", "cat/2.jpg": b"", "dog/.keep": b""}, "dog"),
        ({"test/a/1.jpg": b"", "test/b/1.jpg": b"", "val/a/1.jpg": b""}, "train"),
    ],
)
def test_folders_that_do_not_hold_a_set(run, tmp_path, tree, words):
    for name, content in tree.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "images").mkdir(exist_ok=True)
    code, message = run(*folder_flags(tmp_path / "images", "--config.model.weights=none"))
    assert code == 2 and words in message and message.count("\n") == 1


def test_a_validation_split_of_one_class(run, tmp_path):
    for name, count in (("cat", 30), ("dog", 3)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "images" / name / f"{i}.jpg").write_bytes(b"")
    code, message = run(*folder_flags(tmp_path / "images", "--config.model.weights=none"))
    assert code == 2 and "validation split has images of the class 'cat' alone" in message


def test_a_missing_folder(run, tmp_path):
    code, message = run(*folder_flags(tmp_path / "gone"))
    assert code == 2 and "gone" in message


def test_an_unreachable_hub_is_a_failed_run(tmp_path):
    done = cli.run(f"--config.data.cache_dir={tmp_path}", cwd=tmp_path, HF_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Matthijs/snacks" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_weights_that_cannot_be_fetched_are_a_failed_run(shapes, tmp_path):
    flags = folder_flags(shapes, "--config.data.image_size=24", "--config.train.batch_size=12")
    done = cli.run(*flags, f"--config.data.cache_dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "--config.model.weights=DIR/model.safetensors" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_version_without_a_checkpoint(run, tmp_path):
    from simsearch.config import files as config_files

    runs.create(tmp_path / "runs", config_files.load_config("demo"))
    code, message = run("--mode=eval")
    assert code == 2 and "holds no checkpoint yet" in message and "--version=0" in message


def test_another_configuration_on_resume(run, tmp_path):
    from simsearch.config import files as config_files

    runs.create(tmp_path / "runs", config_files.load_config("demo"))
    code, message = run("--mode=train", "--version=0", "--config.train.seed=5")
    assert code == 2 and "train.seed: 0 -> 5" in message


def test_a_stored_configuration_that_was_damaged(run, tmp_path):
    from simsearch.config import files as config_files

    version = runs.create(tmp_path / "runs", config_files.load_config("demo"))
    (version.path / "config.json").write_text("{")
    code, message = run("--mode=eval")
    assert code == 2 and "not JSON" in message


def test_ctrl_c_is_one_word(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("simsearch.commands.training.train", interrupted)
    assert run("--config=demo") == (130, "interrupted\n")


def test_ctrl_c_while_the_libraries_load_ends_at_once():
    code = (
        "import os, runpy, signal, sys\n"
        # A job in the background has it ignored, and hands that down.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'simsearch.commands.evaluation':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder)\n"
        f"runpy.run_path({str(cli.ROOT / 'main.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", code, "--mode=eval"]
    done = subprocess.run(command, capture_output=True, cwd=cli.ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_a_reader_that_has_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = cli.command("--help")
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=cli.environment())
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_full_disk_is_one_line(run, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "runs/version_0/metrics.jsonl")

    monkeypatch.setattr("simsearch.commands.training.train", full)
    code, message = run("--config=demo")
    assert code == 1 and "No space left on device" in message and message.count("\n") == 1
