"""A run in two tables: what it trains at its start, its figures at its end."""

from collections.abc import Mapping, Sequence
from typing import Any

from simsearch import progress, tables
from simsearch.models import parts as parts_lib

_NOT_FIGURES = ("split", "step", "epoch", "learning_rate", "images_per_second", "num_skipped")
# Of these no value is better than another.
_WITHOUT_BEST = ("active_fraction", "gradient_norm", "spread")


def best_and_last(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns a line for each figure: its best value and epoch, and its last value.

    Args:
        records: The run's records, as `records.read` gives them.
    """
    rows = [("figure", "best", "at epoch", "last")]
    for split in ("train", "validation"):
        of_split = [record for record in records if record["split"] == split]
        names = dict.fromkeys(name for record in of_split for name in record)
        for name in names:
            if name in _NOT_FIGURES:
                continue
            known = [record for record in of_split if record.get(name) is not None]
            if not known:
                continue
            best = ("-", "-")
            if name not in _WITHOUT_BEST:
                choose = min if name.split("_")[0] == "loss" else max
                found = choose(known, key=lambda record: record[name])
                best = (f"{found[name]:.4f}", progress.epoch(found["epoch"]))
            rows.append((f"{split} {name}", *best, f"{known[-1][name]:.4f}"))
    return tables.aligned(rows)


def parameters(
    parts: Sequence[parts_lib.Part], *, backbone_multiplier: float, freeze_batch_norm: bool
) -> str:
    """Returns a line for each part of the network: parameters, and how fast they are trained.

    Args:
        parts: From the input on.
        backbone_multiplier: The backbone's learning rate over that of the rest.
        freeze_batch_norm: Whether the backbone's BatchNorm keeps its running statistics.
    """
    rows = [("part", "trained", "frozen", "learning rate", "BatchNorm statistics")]
    for part in parts:
        rate = f"x {backbone_multiplier if part.is_backbone else 1.0:g}"
        is_kept = part.num_frozen > 0 or (part.is_backbone and freeze_batch_norm)
        rows.append(
            (
                part.name,
                f"{part.num_trained:,}",
                f"{part.num_frozen:,}",
                "-" if part.num_frozen else rate,
                "kept" if is_kept else "updated" if part.has_batch_norm else "-",
            )
        )
    trained, frozen = (sum(column) for column in zip(*(part[2:4] for part in parts), strict=True))
    rows.append(("all", f"{trained:,}", f"{frozen:,}", "", ""))
    return tables.aligned(rows)
