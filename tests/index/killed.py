"""The process that `test_kills.py` kills: synchronises, adds and removes, and notes what is done.

python -m tests.index.killed URL FOLDER NOTES SEED [NUM_STEPS]
"""

import os
import sys

import numpy as np

import simsearch
from simsearch.data.decoding import images
from tests.index import model


def picture(rng):
    """Returns the PNG of an image that nobody had before."""
    quarters = rng.integers(0, 256, (2, 2, 3)).repeat(4, 0).repeat(4, 1)
    return images.encode_png(quarters.astype(np.uint8))


def main(url, folder, notes, seed, num_steps=10**6):
    rng = np.random.default_rng(int(seed))
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(*words):
        os.write(file, (" ".join(words) + "\n").encode())
        os.fsync(file)

    with simsearch.Index.open(url, embedder=model.CornerEmbedder(), create=True) as index:
        print("ready", flush=True)
        index.sync(folder)
        note("synchronised")
        mine: list[str] = []
        for _ in range(int(num_steps)):
            new = [picture(rng) for _ in range(int(rng.integers(1, 20)))]
            for encoded in new:
                note("adding", encoded.hex())
            added = index.add(new)
            for id_ in added:
                note("added", id_)
            mine.extend(added)
            gone = [str(id_) for id_ in rng.permutation(mine)[: len(mine) // 2]]
            for id_ in gone:
                note("deleting", id_)
            index.remove(gone)
            for id_ in gone:
                note("deleted", id_)
            mine = [id_ for id_ in mine if id_ not in gone]


if __name__ == "__main__":
    main(*sys.argv[1:])
