"""The real `datasets` client against a hub on this machine, in processes of their own."""

import io
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from simsearch.data.decoding import images
from tests import hub_server

REPOSITORY = Path(__file__).parents[3]
IMAGE = {"_type": "Image"}
LABEL = {"_type": "ClassLabel", "names": ["pear", "apple"]}
TEXT = {"dtype": "string", "_type": "Value"}
INTEGER = {"dtype": "int64", "_type": "Value"}


def picture(value):
    return {"bytes": images.encode_png(np.full((4, 4), value, np.uint8)), "path": f"{value}.png"}


def parquet(columns, features=None):
    # Not at the top: pyarrow is the client's, and the other tests do without it.
    import pyarrow
    from pyarrow import parquet as pyarrow_parquet

    table = pyarrow.table(columns)
    if features:
        metadata = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": metadata})
    buffer = io.BytesIO()
    pyarrow_parquet.write_table(table, buffer)
    return buffer.getvalue()


def labelled(labels, start=0):
    pictures = [picture(start + i) for i in range(len(labels))]
    return parquet({"image": pictures, "label": labels}, {"image": IMAGE, "label": LABEL})


def dataset(name, files, revision="main"):
    return hub_server.Repository("datasets", f"org/{name}", {revision: files})


def repositories():
    pictures = [picture(i) for i in range(6)]
    two = {"train.parquet": labelled([0, 1] * 3), "test.parquet": labelled([1, 0, 1], start=100)}
    converted = {f"default/{name[:-8]}/0000.parquet": file for name, file in two.items()}
    kinds = {"kind": [0, 1] * 3, "sort": [1, 0] * 3}
    plain = {"image": pictures, "category": ["pear", "apple"] * 3, "width": [4] * 6}
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: {name}.parquet\n" for name in ("first", "second")
    )
    several = {
        "README.md": f"{card}---\n".encode(),
        "first.parquet": labelled([0, 1]),
        "second.parquet": labelled([1, 0, 0], start=50),
    }
    hidden = two | {"test.parquet": labelled([-1, -1, -1], start=100)}
    return [
        dataset("plain", two | {"README.md": b"# A set"}),
        hub_server.Repository(
            "datasets",
            "org/script",
            {"main": {"script.py": b"raise", "x.zip": b""}, "refs/convert/parquet": converted},
        ),
        hub_server.Repository(
            "datasets",
            "org/revised",
            {"main": two, "old": {"train.parquet": labelled([0, 1], start=70)}},
        ),
        dataset("script_only", {"script_only.py": b"raise"}),
        dataset("several", several),
        dataset("texts", {"train.parquet": parquet(plain)}),
        dataset(
            "integers",
            {
                "train.parquet": parquet(
                    {"mask": pictures[::-1], "img": pictures, "label": [10, 9] * 3},
                    {"mask": IMAGE, "img": IMAGE, "label": INTEGER},
                )
            },
        ),
        dataset("files", {f"train/{c}/{i}.png": picture(i)["bytes"] for c in "ab" for i in (1, 2)}),
        dataset("no_label", {"train.parquet": parquet({"image": pictures}, {"image": IMAGE})}),
        dataset("no_image", {"train.parquet": parquet({"label": [0, 1]}, {"label": LABEL})}),
        dataset(
            "two_labels",
            {
                "train.parquet": parquet(
                    {"image": pictures, **kinds}, {"image": IMAGE, "kind": LABEL, "sort": LABEL}
                )
            },
        ),
        dataset("hidden_labels", hidden),
        dataset(
            "hole",
            {
                "train.parquet": parquet(
                    {"image": [*pictures[:5], None], "label": [0, 1] * 3},
                    {"image": IMAGE, "label": LABEL},
                )
            },
        ),
        dataset("broken", {"train.parquet": b"PAR1 and no more"}),
        dataset("empty", {"README.md": b"nothing"}),
        dataset(
            "no_train", dict.fromkeys(("test.parquet", "validation.parquet"), labelled([0, 1]))
        ),
    ]


JOBS = {
    "plain": "hf:org/plain",
    "script": "hf:org/script",
    "script_only": "hf:org/script_only",
    "texts": "hf:org/texts",
    "several": "hf:org/several",
    "several, second": "hf:org/several:second",
    "several, revision": "hf:org/several:second@main",
    "several, first": "hf:org/several:first",
    "several, third": "hf:org/several:third",
    "integers": "hf:org/integers",
    "files": "hf:org/files",
    "no_label": "hf:org/no_label",
    "no_image": "hf:org/no_image",
    "two_labels": "hf:org/two_labels",
    "two_labels, sort": ("hf:org/two_labels", {"label_column": "sort"}),
    "two_labels, image": ("hf:org/two_labels", {"label_column": "image"}),
    "two_labels, lost": ("hf:org/two_labels", {"label_column": "lost"}),
    "hidden_labels": "hf:org/hidden_labels",
    "hole": "hf:org/hole",
    "broken": "hf:org/broken",
    "empty": "hf:org/empty",
    "no_train": "hf:org/no_train",
    "unknown": "hf:org/unknown",
    "revision": "hf:org/plain@no-such-branch",
    "revised, main": "hf:org/revised@main",
    "revised": "hf:org/revised",
    "revised, old": "hf:org/revised@old",
}


def run_client(url, home, names):
    jobs = {}
    for name in names:
        source, options = JOBS[name] if isinstance(JOBS[name], tuple) else (JOBS[name], {})
        fractions = {"valid_fraction": 0.0, "test_fraction": 0.0}
        jobs[name] = {"source": source, "cache_dir": str(home / "sets"), **fractions, **options}
    environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(home / "client")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(REPOSITORY / "tests/data/hub_client.py")],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What the client gave while the hub answered, and then with the same cache after it left."""
    home = tmp_path_factory.mktemp("hub")
    with hub_server.serve(repositories()) as hub:
        online = run_client(hub.url, home, JOBS)
    asked = ["plain", "script", "several", "several, second", "several, third", "unknown"]
    asked += ["revision", "revised, main", "revised", "revised, old"]
    offline = run_client(hub.url, home, asked)
    return types.SimpleNamespace(online=online, offline=offline, home=home)


def test_rows_come_by_class_with_their_own_bytes(runs):
    found = runs.online["plain"]
    assert list(found) == ["train", "validation", "test"]
    assert found["train"]["class_names"] == ["apple", "pear"]
    assert found["train"]["labels"] == [0, 0, 0, 1, 1, 1]
    assert found["train"]["pixels"] == [1, 3, 5, 0, 2, 4]
    assert found["train"]["names"][:2] == ["train/1", "train/3"]
    assert found["test"]["labels"] == [0, 0, 1]
    assert found["test"]["pixels"] == [100, 102, 101]
    assert found["validation"]["labels"] == []


def test_a_loading_script_is_replaced_by_the_parquet_conversion(runs):
    plain, script = runs.online["plain"], runs.online["script"]
    for name in plain:
        for part in ("labels", "pixels", "names"):
            assert script[name][part] == plain[name][part]


def test_text_labels_are_sorted_and_unmarked_bytes_are_images(runs):
    train = runs.online["texts"]["train"]
    assert train["class_names"] == ["apple", "pear"]
    assert train["pixels"] == [1, 3, 5, 0, 2, 4]


def test_one_of_several_configurations_is_chosen_by_name(runs):
    train = runs.online["several, second"]["train"]
    assert train["labels"] == [0, 1, 1] and train["pixels"] == [50, 51, 52]
    assert runs.online["several, revision"] == runs.online["several, second"]
    assert runs.offline["several, second"] == runs.online["several, second"]


def test_integer_labels_keep_their_order_and_the_column_called_img_is_taken(runs):
    train = runs.online["integers"]["train"]
    assert train["class_names"] == ["09", "10"]
    assert train["pixels"] == [1, 3, 5, 0, 2, 4]


def test_images_that_are_files_of_the_repository_are_read(runs):
    train = runs.online["files"]["train"]
    assert train["class_names"] == ["a", "b"]
    assert train["pixels"] == [1, 2, 1, 2]


def test_the_label_column_can_be_chosen(runs):
    assert runs.online["two_labels, sort"]["train"]["pixels"] == [0, 2, 4, 1, 3, 5]


def test_a_split_without_labels_is_not_used(runs):
    assert runs.online["hidden_labels"]["test"]["labels"] == []


def test_a_row_without_an_image_is_corrupt(runs):
    assert "the row has no image" in runs.online["hole"]["train"]["pixels"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("no_label", "UsageError", "expected one label column in hf:org/no_label, found none"),
        ("no_image", "UsageError", "expected one image column in hf:org/no_image, found none"),
        ("two_labels", "UsageError", "found 'kind', 'sort': set data.label_column"),
        ("two_labels, image", "UsageError", "found a column 'image' of another type"),
        ("two_labels, lost", "UsageError", "found no 'lost' among 'image', 'kind', 'sort'"),
        (
            "several",
            "UsageError",
            "org/several has several configurations, 'first', 'second': name one, such as "
            "data.source=hf:org/several:first",
        ),
        ("several, third", "UsageError", "'third' not found. Available: ['first', 'second']"),
        ("no_train", "UsageError", "expected a split called train in hf:org/no_train"),
        ("script_only", "UsageError", "org/script_only on http"),
        ("broken", "UsageError", "org/broken on http"),
        ("empty", "UsageError", "org/empty on http"),
        ("unknown", "UsageError", "doesn't exist on the Hub or cannot be accessed"),
        ("revision", "UsageError", "Revision 'no-such-branch' doesn't exist"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(runs, name, error, message):
    result = runs.online[name]
    assert result["error"] == error
    assert message in result["message"] and "\n" not in result["message"]


def test_a_downloaded_set_loads_without_the_hub(runs):
    assert runs.offline["plain"] == runs.online["plain"]
    assert runs.offline["script"] == runs.online["script"]


def test_without_the_hub_a_set_is_of_the_revision_that_was_asked_for(runs):
    assert runs.online["revised"] != runs.online["revised, old"]
    for name in ("revised", "revised, main", "revised, old"):
        assert runs.offline[name] == runs.online[name]


def test_without_the_hub_a_configuration_is_asked_for_as_with_it(runs):
    assert runs.offline["several"] == runs.online["several"]


@pytest.mark.parametrize("name", ["unknown", "revision", "several, third"])
def test_an_unreachable_hub_is_told_in_one_line(runs, name):
    result = runs.offline[name]
    assert result["error"] == "RunError"
    assert "the hub could not be reached" in result["message"] and "\n" not in result["message"]
    assert "OfflineModeIsEnabled" not in result["message"]


def test_the_set_is_kept_in_the_cache_folder_that_was_asked_for(runs):
    assert list(Path(runs.home, "sets").rglob("plain-train.arrow"))
