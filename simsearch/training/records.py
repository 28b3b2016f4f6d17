"""What a run reports: `metrics.jsonl`, one record a line, and TensorBoard curves beside it."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from simsearch import runs


class Records:
    """The figures of one version, written as they come.

    Attributes:
        validations: The records of the validations so far, those before a resume among them.
    """

    def __init__(self, version: runs.Version, *, step: int) -> None:
        """Opens the files; records of steps after `step`, left by a killed run, are dropped."""
        # Imports PyTorch where it is installed: seconds that only a training may take.
        import tensorboardX

        self._path = version.metrics_file
        self._drop_after(step)
        self.validations = validations(self._path)
        self._file = open(self._path, "a")
        board = version.path / "tensorboard"
        self._boards = {
            split: tensorboardX.SummaryWriter(
                str(board / split),
                # Also where a run was killed before it had saved anything.
                purge_step=step + 1 if (board / split).is_dir() else None,
                write_to_disk=True,
            )
            for split in ("train", "validation")
        }

    def write(self, split: str, step: int, values: Mapping[str, float], *, epoch: float) -> None:
        """Appends one record.

        Args:
            split: "train" or "validation".
            step: Steps done.
            values: The figures by name.
            epoch: Passes over the training images, with fraction.
        """
        # JSON has no NaN; null says as much.
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        record = {"split": split, "step": step, "epoch": round(epoch, 4), **finite}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if split == "validation":
            self.validations.append(record)
        for name, value in values.items():
            self._boards[split].add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes the files."""
        self._file.close()
        for board in self._boards.values():
            board.close()

    def _drop_after(self, step: int) -> None:
        kept = [record for record in read(self._path) if record["step"] <= step]
        runs.write_text(self._path, "".join(json.dumps(record) + "\n" for record in kept))


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Returns the records of a `metrics.jsonl`; a last line cut off by a kill is left out."""
    records = []
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def validations(path: str | os.PathLike, *, last_step: int | None = None) -> list[dict[str, Any]]:
    """Returns the records of the validations, up to a step where one is given."""
    return [
        record
        for record in read(path)
        if record["split"] == "validation" and (last_step is None or record["step"] <= last_step)
    ]
