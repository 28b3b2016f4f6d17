"""SIGKILL at random moments: what is there is whole, and what was said to be done is done.

SIMSEARCH_KILLS=20 python -m pytest tests/index/test_kills.py
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import simsearch
from simsearch import errors
from simsearch.index import model as model_lib
from tests import cli
from tests.index import killed, model, stores

ENGINES = stores.ENGINES
NUM_KILLS = int(os.environ.get("SIMSEARCH_KILLS", 2))
FILES = 60
# Seconds within which a first synchronisation and several changes are done.
LONGEST = {"lance": 1.5, "milvus": 8.0}


class Vectors:
    """The vector of every content that the index may hold, by its hash."""

    def __init__(self):
        self.of = {}

    def learn(self, encoded):
        embedder = model.CornerEmbedder()
        vector = embedder.embed(embedder.preprocess(encoded)[None])[0]
        self.of[hashlib.sha256(encoded).hexdigest()] = vector


def change(folder, rng, vectors):
    """Writes some files anew and removes some."""
    for i in rng.permutation(FILES)[:20]:
        (folder / f"{i}.png").unlink(missing_ok=True)
    for i in rng.permutation(FILES)[:30]:
        encoded = killed.picture(rng)
        vectors.learn(encoded)
        (folder / f"{i}.png").write_bytes(encoded)


def check(url, notes, vectors):
    """Compares the store with the notes: count, every vector, every acknowledged change."""
    said = {}
    for line in notes.read_text().splitlines():
        word, *rest = line.split()
        if word == "adding":
            vectors.learn(bytes.fromhex(rest[0]))
        elif rest:
            said[rest[0]] = word
    engine = stores.reopen(url)
    before = None
    for _ in range(20):
        rows = [
            (record, vector)
            for part in engine.scan(vectors=True)
            for record, vector in zip(part.records, part.vectors, strict=True)
        ]
        count, revisions = engine.count(), {record.id: record.revision for record, _ in rows}
        if (count, revisions) == before:
            break
        # What was under way to a server when its client died may come a moment later.
        before = count, revisions
        time.sleep(1.0 if url.startswith("milvus:") else 0.0)
    ids = revisions.keys()
    assert len(ids) == len(rows) == count
    for record, vector in rows:
        np.testing.assert_array_equal(vector, vectors.of[record.content])
    assert engine.thumbnails(list(ids)).keys() == ids
    engine.close()
    assert not ids & {id_ for id_, word in said.items() if word == "deleted"}
    assert ids >= {id_ for id_, word in said.items() if word == "added"}
    return said


def test_a_killed_process_leaves_nothing_half_done(url, tmp_path):
    folder, notes = tmp_path / "images", tmp_path / "notes"
    folder.mkdir()
    notes.touch()
    rng, vectors, moments = np.random.default_rng(0), Vectors(), random.Random(0)
    said = {}
    for number in range(NUM_KILLS):
        change(folder, rng, vectors)
        command = [sys.executable, "-m", "tests.index.killed", url, folder, notes, str(number)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=cli.ROOT, env=cli.environment(), text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.0, LONGEST[url.partition(":")[0]]))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        said = check(url, notes, vectors)
    if NUM_KILLS >= 10:
        assert len(said) > 20, "the kills must come amid changes"
    with simsearch.Index.open(url, embedder=model.CornerEmbedder(), create=True) as index:
        index.sync(folder)
        of_folder = index.ids(f"source = '{folder.resolve()}'")
        assert len(of_folder) == len(list(folder.iterdir()))
        report = index.sync(folder)
        assert report[:4] == (0, 0, 0, len(of_folder))
    check(url, notes, vectors)


@pytest.mark.parametrize("table", ["about", "images"])
def test_a_table_that_was_killed_in_its_creation_is_made_anew(table, tmp_path):
    url = f"lance:{tmp_path / 'store'}"
    embedder = model.CornerEmbedder()
    name = "about" if table == "about" else model_lib.describe(embedder, version=None).table
    # The folder and rows are there, the manifest that makes them a table is not.
    data = tmp_path / "store" / f"{name}.lance" / "data"
    data.mkdir(parents=True)
    (data / "0.lance").write_bytes(b"half a fi")
    with pytest.raises(errors.UsageError, match="there is no index"):
        simsearch.Index.open(url, embedder=embedder)
    with simsearch.Index.open(url, embedder=embedder, create=True) as index:
        (id_,) = index.add([killed.picture(np.random.default_rng(0))])
    with simsearch.Index.open(url, embedder=embedder) as index:
        assert index.ids() == [id_]
