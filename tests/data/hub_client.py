"""Loads sources in a process of its own, whose HF_ENDPOINT was set before `datasets` came in.

Reads a JSON object on standard input, from names to the arguments of `sources.load`, and writes one
with what each gave.
"""

import json
import sys

from simsearch.data import sources
from simsearch.data.decoding import images
from simsearch.errors import CorruptImage, RunError, UsageError


def pixel(split, row):
    try:
        image = images.decode(split.read(row), resize_mode="squash", resize_size=4, max_pixels=100)
    except CorruptImage as error:
        return str(error)
    return int(image[0, 0, 0])


def load(arguments):
    try:
        found = sources.load(**arguments)
    except (RunError, UsageError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {
        name: {
            "labels": split.labels.tolist(),
            "class_names": list(split.class_names),
            "names": list(split.names),
            "fingerprint": split.fingerprint,
            "pixels": [pixel(split, row) for row in range(len(split.labels))],
        }
        for name, split in found.items()
    }


if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    json.dump({name: load(arguments) for name, arguments in jobs.items()}, sys.stdout)
