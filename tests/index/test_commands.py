import io
import json
import logging
import subprocess
import sys
import threading
from http import server

import numpy as np
import pytest

from simsearch import checkpoints, errors, runs, wiring
from simsearch.commands import index as index_command
from simsearch.commands import search as search_command
from simsearch.config import files as config_files
from simsearch.data.decoding import formats
from simsearch.index import Answer, Hit, Index, answers
from simsearch.index import model as model_lib
from simsearch.plots import neighbors
from simsearch.retrieval import embed
from tests import cli
from tests.index import model
from tests.index.test_collection import calibrated


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A folder of versions with an untrained one."""
    return with_version(tmp_path_factory.mktemp("runs"))


def with_version(folder, *, seed=0):
    """Returns a folder of versions after it got an untrained one."""
    config = config_files.load_config(
        "demo",
        {
            "data.cache_dir": str(folder / "cache"),
            "data.image_size": 16,
            "data.resize_size": 16,
            "eval.batch_size": 4,
            "train.seed": seed,
        },
    )
    version = runs.create(folder, config)
    store = checkpoints.Store(version.checkpoint_dir, monitor=config.train.monitor)
    variables = wiring.network.initial_variables(config).variables
    metrics = {config.train.monitor: 0.5}
    store.save(1, variables=variables, training={"a": 1}, about={}, metrics=metrics)
    store.wait()
    store.close()
    return folder


@pytest.fixture(scope="module")
def indexed(workdir, shapes, tmp_path_factory):
    """The URL of an index of the shapes."""
    url = f"lance:{tmp_path_factory.mktemp('indexed') / 'store'}"
    report = run_index(shapes / "test", url, workdir)
    assert report.added == 15
    return url


def test_versions_of_another_folder_take_no_index_over_unasked(indexed, shapes, tmp_path):
    (tmp_path / "empty").mkdir()
    other = with_version(tmp_path / "runs", seed=1)
    for workdir, said in ((other, "is another network"), (tmp_path / "empty", "which is not in")):
        with pytest.raises(errors.UsageError, match=f"{workdir}.*--workdir") as caught:
            run_index(shapes / "test", indexed, workdir)
        assert said in str(caught.value) and "\n" not in str(caught.value)
        with pytest.raises(errors.UsageError, match=said):
            run_search(str(shapes / "test/square/1.png"), url=indexed, workdir=workdir)


def run_index(images, url, workdir, **flags):
    defaults = {"version": None, "labels": None, "overrides": {}}
    return index_command.main(
        images=str(images), index=url, workdir=str(workdir), **defaults | flags
    )


def run_search(*query, url, workdir, **flags):
    defaults = {
        "version": None,
        "top_k": 3,
        "filter": None,
        "crop": None,
        "output": None,
        "json": False,
        "overrides": {},
    }
    return search_command.main(query=query, index=url, workdir=str(workdir), **defaults | flags)


@pytest.fixture
def printed(caplog):
    """Returns the function that gives what was printed since it was last called."""
    caplog.set_level(logging.INFO, logger="simsearch")

    def take():
        text = "\n".join(
            record.getMessage() for record in caplog.records if record.name == "simsearch"
        )
        caplog.clear()
        return text

    return take


def test_indexing_says_what_changed_and_how_to_go_on(workdir, shapes, tmp_path, printed):
    url = f"lance:{tmp_path / 'store'}"
    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        (images / f"{i}.png").write_bytes((shapes / "test" / "circle" / f"{i}.png").read_bytes())
    (images / "bad.png").write_bytes(b"no image")
    run_index(images, url, workdir)
    text = printed()
    assert "2 added, 0 replaced, 0 deleted, 0 untouched" in text
    assert "the index holds 2 images" in text and "resnet18, 64 dimensions" in text
    assert "1 file could not be read: bad.png (not an image but text: 'no image')" in text
    assert f"--mode=search --query=FILE --index={url} --workdir={workdir}" in text
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "bad.png").write_bytes(b"no image")
    with pytest.raises(errors.RunError, match="the index is empty: no image below"):
        run_index(tmp_path / "unreadable", f"lance:{tmp_path / 'empty'}", workdir)
    assert "search it" not in printed()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(errors.UsageError, match="expected images below"):
        run_index(tmp_path / "nothing", f"lance:{tmp_path / 'none'}", workdir)
    assert not (tmp_path / "none").exists(), "no index is made of nothing"
    for flags, words in (
        ({"images": tmp_path / "none"}, "does not exist"),
        ({"labels": tmp_path / "none.csv"}, "must be a CSV file"),
        ({"version": 7}, "--version=7 is not in"),
        (
            {"overrides": {"model.backbone": "resnet50"}},
            "cannot be changed here.*index.\\*, ",
        ),
        ({"overrides": {"model.backbon": "resnet50"}}, "did you mean model.backbone"),
    ):
        with pytest.raises(errors.UsageError, match=words):
            run_index(flags.pop("images", images), url, workdir, **flags)


def test_indexing_with_another_version_says_whose_vectors_are_replaced(shapes, tmp_path, printed):
    workdir = with_version(with_version(tmp_path / "runs"), seed=1)
    url = f"lance:{tmp_path / 'store'}"
    run_index(shapes / "val", url, workdir, version=0)
    assert "replaced the vectors" not in printed()
    for version, words in ((1, "version 0 (model "), (0, "version 1 (model ")):
        run_index(shapes / "val", url, workdir, version=version)
        text = printed()
        assert f"model: version {version}," in text and "12 added, 0 replaced" in text
        assert (
            f"\nthe index there is of {words}" in text and "its vectors are replaced when" in text
        )
        assert f"\nreplaced the vectors of {words}" in text
    run_index(shapes / "val", url, workdir, version=0)
    assert "replaced the vectors" not in printed()


def test_a_search_prints_a_table_and_draws(workdir, shapes, indexed, tmp_path, printed):
    query = shapes / "test" / "circle" / "0.png"
    picture = tmp_path / "new" / "out.png"
    of_machine = {"data.num_threads": "1", "data.cache_dir": str(tmp_path / "cache")}
    answer = run_search(
        str(query), url=indexed, workdir=workdir, output=str(picture), overrides=of_machine
    )
    lines = printed().splitlines()
    assert lines[0].split() == ["rank", "score", "probability", "label", "path"]
    assert lines[1].split() == ["1", "1.000", "-", "circle", "circle/0.png"]
    assert len(lines) == 5 and lines[-1] == f"picture: {picture}"
    assert formats.sniff(picture.read_bytes()) == "png"
    run_search(f"id:{answer.hits[0].id}", str(query), url=indexed, workdir=workdir, json=True)
    values = json.loads(printed())
    assert values["is_match"] and values["version"] == 0 and len(values["hits"]) == 3
    assert set(values["hits"][0]) == {
        *("rank", "id", "score", "probability", "label", "path", "metadata")
    }
    run_search(str(query), url=indexed, workdir=workdir, filter="label = 'none'")
    assert "nothing found" in printed()
    run_search(str(query), url=indexed, workdir=workdir, filter="lable = 'none'", json=True)
    values = json.loads(printed())
    assert values["hits"] == [] and values["note"].startswith("no image has a field lable")


def test_what_was_deleted_since_it_was_found_is_grey(
    workdir, shapes, indexed, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(neighbors, "draw", lambda path, row, **_: drawn.append(row))
    monkeypatch.setattr(Index, "thumbnail", lambda self, id_: None)
    query = str(shapes / "test" / "circle" / "0.png")
    run_search(query, url=indexed, workdir=workdir, output=str(tmp_path / "out.png"))
    assert np.ptp(drawn[0].image) > 0
    assert [np.ptp(result.image) for result in drawn[0].results] == [0, 0, 0]


def test_the_picture_shows_what_is_under_the_threshold(
    workdir, shapes, indexed, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        neighbors, "draw", lambda path, row, *, title: drawn.append((row.results, title))
    )
    query = str(shapes / "test" / "circle" / "0.png")
    scores = [hit.score for hit in run_search(query, url=indexed, workdir=workdir).hits]
    for threshold, weak, words in (
        (scores[1], [False, False, True], f"; pale: under the threshold of {scores[1]:.3f}"),
        (scores[2], [False] * 3, "0.png"),
        (1.1, [True] * 3, "nothing similar here"),
    ):
        monkeypatch.setattr(
            answers.Judge,
            "answer",
            lambda self, found, at=threshold: Answer(
                [answers.hit(each, None) for each in found], found[0].score >= at, at
            ),
        )
        run_search(query, url=indexed, workdir=workdir, output=str(tmp_path / "out.png"))
        results, title = drawn.pop()
        assert [result.is_weak for result in results] == weak
        assert title.endswith(words)


@pytest.mark.parametrize("weights", ["f", "e"])
def test_a_calibration_is_of_the_network_that_embeds(workdir, monkeypatch, weights):
    version = runs.find(workdir, 0)
    stored = calibrated(weights=weights * 64).to_json()
    monkeypatch.setattr(runs.Version, "calibration_file", workdir / "calibration.json")
    version.calibration_file.write_text(stored)
    embedder = model.CornerEmbedder()
    monkeypatch.setattr(embed.Embedder, "from_version", lambda *_, **__: embedder)
    found = model_lib.load(None, workdir, None)
    assert found == (embedder, 0, stored if weights == "f" else "")


def test_standard_input_that_is_too_long_is_not_cut(workdir, indexed, monkeypatch):
    monkeypatch.setattr(search_command, "_MAX_BYTES", 2**20)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(2**20 + 1))))
    with pytest.raises(errors.UsageError, match="standard input has more than 1 MiB"):
        run_search("-", url=indexed, workdir=workdir)


def test_an_honest_answer_where_nothing_is_similar():
    hit = Hit("0" * 32, 0.412, 0.031, "cookie", "cookie/1.jpg", {})
    text = search_command.table(Answer([hit], False, 0.63), false_match_rate=1e-3)
    assert text.startswith(
        "nothing similar here: the best score, 0.412, is under 0.630, which at most 0.1 % of the "
        "validation pairs of different classes reach"
    )
    assert text.splitlines()[-1].split() == ["1", "0.412", "3.1", "%", "cookie", "cookie/1.jpg"]
    two = search_command.table(
        Answer([hit._replace(score=0.7), hit], True, 0.63), false_match_rate=1e-3
    )
    assert two.splitlines()[-1] == "under the threshold of 0.630: the last image"
    rough = Answer([hit], False, 0.63, "do not trust the threshold: why")
    text = search_command.table(rough, false_match_rate=1e-3)
    assert rough.is_rough and text.splitlines()[-1] == "do not trust the threshold: why"


def test_wrong_searches_are_told_in_one_line(workdir, shapes, indexed, tmp_path):
    query = str(shapes / "test" / "circle" / "0.png")
    (tmp_path / "text.jpg").write_text("hello")
    for queries, flags, words in (
        ([], {}, "needs --query=FILE"),
        ([query], {"output": "a.jpg"}, "must end in .png"),
        ([query], {"crop": ["1", "x", "2", "3"]}, "must be x,y,width,height"),
        ([query], {"crop": ["1", "2", "3"]}, "must be x,y,width,height"),
        ([query], {"filter": "label like 'x'"}, "--filter: expected"),
        ([str(tmp_path / "text.jpg")], {}, "text.jpg must be an image: not an image but text"),
        ([query], {"version": 3}, "--version=3 is not in"),
        ([query], {"url": f"lance:{tmp_path}/none"}, "there is no index at"),
    ):
        with pytest.raises(errors.UsageError, match=words) as caught:
            run_search(*queries, workdir=workdir, **{"url": indexed} | flags)
        assert "\n" not in str(caught.value)


def test_a_url_is_a_query(workdir, shapes, indexed):
    content = (shapes / "test" / "square" / "1.png").read_bytes()

    class Handler(server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the name that http.server calls
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with server.HTTPServer(("127.0.0.1", 0), Handler) as answering:
        threading.Thread(target=answering.handle_request, daemon=True).start()
        address = f"http://127.0.0.1:{answering.server_port}/1.png"
        assert run_search(address, url=indexed, workdir=workdir).hits[0].path == "square/1.png"


def test_the_command_line_searches_standard_input_without_tensorflow(workdir, shapes, indexed):
    flags = ["--mode=search", "--query=-", "--top_k=2", f"--index={indexed}"]
    code = (
        "import sys, main\n"
        f"code = main.main(['main.py', *{[*flags, f'--workdir={workdir}']!r}])\n"
        "heavy = 'tensorflow', 'datasets', 'matplotlib', 'sklearn', 'torch', 'pymilvus'\n"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    with open(shapes / "test" / "triangle" / "2.png", "rb") as query:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=query,
            capture_output=True,
            text=True,
            cwd=cli.ROOT,
            env=cli.environment(),
        )
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 []", done.stderr
    assert lines[1].split()[-1] == "triangle/2.png" and done.stderr == ""
