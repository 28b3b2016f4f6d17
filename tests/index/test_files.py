import pathlib

import numpy as np
import pytest

from simsearch import errors
from simsearch.data import sources
from simsearch.index import files, metadata, sync
from tests.index import stores


@pytest.mark.parametrize(
    "paths",
    [
        ("dog/1.png", "dog/2.png", "val/catA/1.png"),
        ("dog/1.png", "Test/catA/1.png", "Test/2.png", "loose.png"),
        ("bus/1.png", "train/1.png", "val/front/1.png"),
        ("train/dog/1.png", "train/cat/front/1.png", "train/2.png", "val/cat/1.png"),
    ],
)
def test_an_image_has_the_class_that_it_is_trained_as(tmp_path, paths):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    trained = sources.load("folder", path=str(tmp_path), valid_fraction=0, test_fraction=0)
    classes = {
        name: split.class_names[label]
        for split in trained.values()
        for name, label in zip(split.names, split.labels, strict=True)
    }
    labels = {file.path: file.label for file in files.find(str(tmp_path)) if file.label}
    assert labels == classes


def test_rows_of_no_image_are_named(caplog):
    table = dict.fromkeys(["a/1.png", "a/2.png", "b.png"], metadata.Labels("a", {}))
    sync._check_labels(table, [files.File("", "a/1.png", 0, 0, "", "a")])
    assert "the table has 2 rows of no image in the folder: 'a/2.png', 'b.png'" in caplog.text
    caplog.clear()
    sync._check_labels({}, [])
    assert not caplog.text


def test_an_image_has_one_row(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\n1.png,a\n./1.png,b\n")
    with pytest.raises(errors.UsageError, match=r"more than one row of 1\.png"):
        metadata.read_csv(tmp_path / "labels.csv")


def test_files_are_found_with_ids_of_their_own(tmp_path, caplog):
    for name in (
        "b/2.JPG",
        "b/notes.txt",
        "b/phone.heic",
        ".hidden/3.png",
        "a/1.png",
        'it\'s "odd" ключ.webp',
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 5)
    odd = tmp_path / "b"
    with open(bytes(odd) + b"/\xff.png", "wb") as file:
        file.write(b"x")
    found = files.find(files.root_of(tmp_path))
    assert "left out: 1 file below" in caplog.text and "such as 'b/phone.heic'" in caplog.text
    assert [file.path for file in found] == [
        "a/1.png",
        "b/2.JPG",
        "b/\\xff.png",
        'it\'s "odd" ключ.webp',
    ]
    assert len({file.id for file in found}) == 4
    assert all(len(file.id) == 32 and int(file.id, 16) >= 0 for file in found)
    assert [pathlib.Path(file.on_disk).read_bytes()[:1] for file in found] == [b"x"] * 4
    elsewhere = files.file_id("/other", "a/1.png")
    assert elsewhere != found[0].id == files.file_id(files.root_of(tmp_path), "a/1.png")


def test_a_plan_names_what_has_to_be_done():
    now = [files.File(str(i), f"{i}", i, 1, "", "") for i in range(4)]
    stored = {
        id_: stores.row(id_, id=id_, size=size, modified_ns=time).record
        for id_, size, time in (("1", 1, 1), ("2", 2, 9), ("3", 9, 1), ("7", 7, 1))
    }
    plan = files.plan(now, stored)
    assert plan.new == [now[0]]
    assert plan.suspects == [(now[2], stored["2"]), (now[3], stored["3"])]
    assert plan.untouched == [stored["1"]] and plan.vanished == ["7"]


def test_a_table_of_metadata_tells_types_from_values(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(
        b"\xef\xbb\xbfFile, Unit Price ,count,sold,note,Label\n"
        b'a/1.png,2.5,3,True,"x, ""y""",cat\n'
        b"./b/2.png,3,-4,false,12,\n"
        b"\n"
        b",,, ,,\n"
        b"c.png,,,,,dog\n"
    )
    assert metadata.read_csv(path) == {
        "a/1.png": ("cat", {"unit_price": 2.5, "count": 3, "sold": True, "note": 'x, "y"'}),
        "b/2.png": ("", {"unit_price": 3.0, "count": -4, "sold": False, "note": "12"}),
        "c.png": ("dog", {}),
    }


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["0", "-12", "+3"], [0, -12, 3]),
        (["1", "0.5", ".5", "2.", "-1e3"], [1.0, 0.5, 0.5, 2.0, -1000.0]),
        ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
        (["2024_01", "2024_02"], None),
        (["1_0.5"], None),
        (["007", "12"], None),
        (["00.5"], None),
        (["\u0663"], None),
        (["1", "nan"], None),
        (["inf", "1.5"], None),
        (["1e999"], None),
        (["1" * 400], None),
        (["1" * 5000, "0.5"], None),
        ([str(2**63), "0.5"], None),
        (["0x10"], None),
    ],
)
def test_a_column_is_of_numbers_only_where_nothing_is_lost(tmp_path, cells, values):
    lines = "".join(f"{i}.png,{cell}\n" for i, cell in enumerate(cells))
    (tmp_path / "labels.csv").write_text(f"path,x\n{lines}", encoding="utf-8")
    table = metadata.read_csv(tmp_path / "labels.csv")
    found = [row.metadata["x"] for row in table.values()]
    expected = cells if values is None else values
    assert list(map(repr, found)) == list(map(repr, expected))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have a header"),
        ("path,price\n", "labels.csv has a header and no rows"),
        ("path,price\n\n , \n", "labels.csv has a header and no rows"),
        ("name,price\nx,1\n", "must have a column named path (or file,"),
        ("path;price\nx;1\n", "with commas between the columns; its columns: path;price"),
        ("path,a,A\nx,1,2\n", "has the column a more than once: 'a', 'A'"),
        ("path,size (cm),%%\nx,1,2\n", "'%%' is not"),
        (",path,x\n0,a,1\n", "labels.csv: column 1 has no name; name it, or leave it out (pandas"),
        ("path,x, \na,1,\n", "labels.csv: column 3 has no name"),
        ("path,x\na,1\n ,2\n", "labels.csv names no image in line 3; its path is empty"),
        ('path,x\na,"1\n2\n3"\n,2\n', "labels.csv names no image in line 5; its path is empty"),
        ("path,In\nx,1\n", "labels.csv: no filter could ask for a metadata column named 'In'"),
        ("path,price\nx\n", "has 1 cells in line 2 and 2 columns"),
        ("path,size\nx,1\n", "a metadata column must be named"),
        ("path,1st\nx,1\n", "a metadata column must be named"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(tmp_path, text, words):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(errors.UsageError) as caught:
        metadata.read_csv(tmp_path / "labels.csv")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_scalars_of_numpy_are_stored_as_those_of_python():
    given = {"a": np.int64(3), "b": np.float64(0.1), "c": np.bool_(True), "d": np.str_("x")}
    kept = metadata.checked(given)
    assert list(map(repr, kept.values())) == ["3", "0.1", "True", "'x'"]


def test_metadata_that_cannot_be_stored_is_refused():
    assert metadata.checked({"a": 1, "b": None, "ключ": "x"}) == {"a": 1, "ключ": "x"}
    for bad in (
        {"a b": 1},
        {"id": 1},
        {"Between": 1},
        {3: 1},
        [("a", 1)],
        {"a": np.float32("nan")},
        {"a": np.datetime64("2026-01-01")},
        {"a": [1]},
        {"a": float("nan")},
        {"x" * 61: 1},
        {"a": 10**400},
    ):
        with pytest.raises(errors.UsageError):
            metadata.checked(bad)
