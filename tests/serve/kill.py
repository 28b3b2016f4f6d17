"""Kills a server at random moments while images come and go, and looks at what is left.

    python -m tests.serve.kill --rounds=20 [--index=milvus:http://127.0.0.1:19530/killed]

What was acknowledged before the kill must be there, or gone, in the index afterwards: the ids,
their content, their vectors. Of a request that was under way either is right, as a whole.
"""

import argparse
import concurrent.futures
import http.client
import io
import pathlib
import random
import tempfile
import threading
import time

import numpy as np
from PIL import Image

import simsearch
from tests.index import stores
from tests.serve import conftest, process

WITH_KEY = {"X-API-Key": conftest.KEY}
WORKERS = 4


class Ledger:
    """What the server acknowledged, and what it may or may not have done."""

    def __init__(self):
        self.lock = threading.Lock()
        self.stored = {}  # From id to the image.
        self.deleted = set()
        self.in_doubt = set()  # Ids of deletes that were never answered.
        self.counts = {"added": 0, "deleted": 0, "unanswered": 0}


def picture(seed):
    """Returns a small image of which there is no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def change(started, ledger, seeds, is_over):
    """Adds and deletes until the server is gone."""
    choose = random.Random(next(seeds))
    while not is_over.is_set():
        try:
            if choose.random() < 0.35 and (id_ := take(ledger, choose)):
                reply = started.ask(f"/images/{id_[0]}", method="DELETE", headers=WITH_KEY)
                assert reply.status == 200, reply
                with ledger.lock:
                    ledger.in_doubt.discard(id_[0])
                    ledger.deleted.add(id_[0])
                    ledger.counts["deleted"] += 1
            else:
                images = [picture(next(seeds)) for _ in range(choose.randint(1, 3))]
                form = [("image", (f"{i}.png", image)) for i, image in enumerate(images)]
                reply = started.ask("/images", form=form, headers=WITH_KEY)
                assert reply.status == 201, reply
                with ledger.lock:
                    ledger.stored.update(zip(reply.json["ids"], images, strict=True))
                    ledger.counts["added"] += len(images)
        except (OSError, http.client.HTTPException):
            with ledger.lock:
                ledger.counts["unanswered"] += 1
            return


def take(ledger, choose):
    """Takes an image that is to be deleted out of those that must be there."""
    with ledger.lock:
        if not ledger.stored:
            return None
        id_ = choose.choice(sorted(ledger.stored))
        image = ledger.stored.pop(id_)
        ledger.in_doubt.add(id_)
        return id_, image


def await_something_to_lose(ledger):
    """Waits for the first image of all rounds, which a busy machine may be long about."""
    deadline = time.monotonic() + 60
    while not ledger.counts["added"] and time.monotonic() < deadline:
        time.sleep(0.01)


def check(url, workdir, ledger, first):
    """Asserts that the index holds what was acknowledged, and whole rows only."""
    with simsearch.Index.open(url, workdir=workdir) as index:
        ids = set(index.ids())
        assert len(ids) == index.count(), "an id is there twice"
        lost = (set(ledger.stored) | first) - ids
        assert not lost, f"{len(lost)} acknowledged images are lost"
        risen = ledger.deleted & ids
        assert not risen, f"{len(risen)} deleted images are there again"
        checked = sorted(ledger.stored)
        expected = index.embed_queries([ledger.stored[id_] for id_ in checked])
        for id_, vector in zip(checked, expected, strict=True):
            np.testing.assert_allclose(index.vector(id_), vector, atol=1e-4)
        engine = stores.reopen(url)
        thumbnails = engine.thumbnails(sorted(ids))
        engine.close()
        for id_ in ids:
            assert index.get(id_) and thumbnails[id_][:3] == b"\xff\xd8\xff"
            norm = np.linalg.norm(index.vector(id_))
            np.testing.assert_allclose(norm, 1, atol=1e-4)
        # What is in the store and was never acknowledged is settled now.
        for id_ in ledger.in_doubt - ids:
            ledger.deleted.add(id_)
        ledger.in_doubt.clear()
        return len(ids)


def run(url, workdir, *, rounds, seed, longest=1.5, report=lambda text: None):
    """Kills a server so many times and returns what was acknowledged in all."""
    ledger, choose = Ledger(), random.Random(seed)
    counter = iter(range(seed * 1_000_000, (seed + 1) * 1_000_000))
    counter_lock = threading.Lock()

    class Seeds:
        def __next__(self):
            with counter_lock:
                return next(counter)

    with simsearch.Index.open(url, workdir=workdir) as index:
        first = set(index.ids())
    for number in range(rounds):
        with process.serving(url, workdir, SIMSEARCH_API_KEY=conftest.KEY) as started:
            is_over = threading.Event()
            with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
                work = [
                    pool.submit(change, started, ledger, Seeds(), is_over) for _ in range(WORKERS)
                ]
                await_something_to_lose(ledger)
                time.sleep(choose.uniform(0.1, longest))
                started.process.kill()
                started.process.wait()
                is_over.set()
                for one in work:
                    one.result()
        count = check(url, workdir, ledger, first)
        report(f"kill {number + 1}: {ledger.counts}, {count} images in the index, all right")
    return ledger.counts


def main():
    """Runs the whole of it over an index of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", help="URL of an empty index; default: LanceDB, thrown away")
    parser.add_argument("--longest", type=float, default=1.5, help="seconds before a kill")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        workdir = conftest.make_version(root / "runs")
        url = conftest.make_index(
            options.index or f"lance:{root / 'index'}",
            conftest.make_photos(root / "photos"),
            workdir=workdir,
        )
        run(
            url,
            workdir,
            rounds=options.rounds,
            seed=options.seed,
            longest=options.longest,
            report=print,
        )


if __name__ == "__main__":
    main()
