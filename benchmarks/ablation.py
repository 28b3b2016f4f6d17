"""What each part of the recipe is worth: short trainings that differ in one thing, on validation.

    python benchmarks/ablation.py --images=DIR --weights=FILE --output=FILE.md

DIR is a folder of train, val and test folders of class folders. Every row is a training of
`configs/snacks_cpu.py` on a short schedule, one seed; the figures are of the best checkpoint on the
validation split, so that the test split stays unseen while choices are made.
"""

import argparse
import datetime
import os
import pathlib
import platform
import resource
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from simsearch import allocator  # noqa: E402

SHORT = {
    # Three epochs are too few for more augmentation; what follows training is not measured here.
    "augment.preset": "light",
    "model.mirror": False,
    "model.discriminant": False,
    "train.num_epochs": 3,
    "train.eval_every_epochs": 3,
    "data.image_size": 128,
    "data.resize_size": 146,
    "data.resize_mode": "squash",
    "data.train_image_size": 96,
    "data.early_image_size": 0,
}
_ONLY = {f"loss.terms.{name}": 0.0 for name in ("triplet", "supcon", "normalised_softmax")}
ROWS = {
    "the recipe": {},
    "loss: triplet alone, batch-all": _ONLY | {"loss.terms.triplet": 1.0},
    "loss: SupCon alone": _ONLY | {"loss.terms.supcon": 1.0},
    "loss: normalised softmax alone": _ONLY | {"loss.terms.normalised_softmax": 1.0},
    "loss: Multi-Similarity alone": _ONLY | {"loss.terms.multi_similarity": 1.0},
    "loss: Circle alone": _ONLY | {"loss.terms.circle": 1.0},
    "loss: Proxy-Anchor alone": _ONLY | {"loss.terms.proxy_anchor": 1.0},
    "loss: ArcFace alone": _ONLY | {"loss.terms.arcface": 1.0},
    "no triplet term": {"loss.terms.triplet": 0.0},
    "no class head": {"loss.terms.normalised_softmax": 0.0},
    "miner: triplet alone, batch-hard": _ONLY
    | {"loss.terms.triplet": 1.0, "loss.triplet.miner": "batch_hard"},
    "miner: triplet alone, semi-hard": _ONLY
    | {"loss.terms.triplet": 1.0, "loss.triplet.miner": "semi_hard"},
    "miner: triplet alone, distance-weighted": _ONLY
    | {"loss.terms.triplet": 1.0, "loss.triplet.miner": "distance_weighted"},
    "augmentation: none": {
        # Without crops training would see the middle alone: it sees what is evaluated.
        "data.train_image_size": 0,
        "augment.crop_scale_min": 1.0,
        "augment.horizontal_flip": 0.0,
        "augment.brightness": 0.0,
        "augment.contrast": 0.0,
        "augment.saturation": 0.0,
    },
    "augmentation: TrivialAugment": {"augment.policy": "trivial"},
    "augmentation: erasing": {"augment.erase_probability": 0.25},
    "augmentation: MixUp": {"augment.mixup_alpha": 0.2},
    "first half with fewer pixels": {"data.early_image_size": 80},
    "no averaged weights (EMA)": {"train.ema_decay": 0.0},
    "unfreezing: head alone": {"model.freeze": "all"},
    "unfreezing: last stage and head": {"model.freeze": "3"},
    "unfreezing: one stage more": {"model.freeze": "1"},
    "unfreezing: everything": {"model.freeze": "none"},
    "BatchNorm trained": {"model.freeze_batch_norm": False},
}


def train(overrides: dict, workdir: str) -> tuple[dict[str, float], float]:
    """Returns the best validation figures of a training, and its CPU seconds."""
    import simsearch
    from simsearch.training import records

    before = resource.getrusage(resource.RUSAGE_SELF)
    version = simsearch.train(simsearch.load_config("snacks_cpu", overrides), workdir=workdir)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = [r for r in records.read(version.metrics_file) if r["split"] == "validation"]
    return max(found, key=lambda record: record["map_at_r"]), seconds


def main() -> None:
    """Trains every row and writes the table after each, so that what is done is kept."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, help="folder of train, val and test folders")
    parser.add_argument("--weights", required=True, help="ImageNet weights of MobileNetV2")
    parser.add_argument("--rows", default="", help="rows that contain this text; empty: all")
    parser.add_argument("--output", type=pathlib.Path, help="Markdown file to write")
    options = parser.parse_args()
    allocator.keep()
    common = SHORT | {
        "data.source": "folder",
        "data.path": options.images,
        "model.weights": options.weights,
    }
    lines = [
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} CPU cores; "
        + ", ".join(f"{name}={value}" for name, value in SHORT.items()),
        "",
        "| what differs | Recall@1 | MAP@R | CPU seconds |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as workdir:
        for name, overrides in ROWS.items():
            if options.rows not in name:
                continue
            figures, seconds = train(common | overrides, workdir)
            lines.append(
                f"| {name} | {figures['recall_at_1']:.3f} | {figures['map_at_r']:.3f} "
                f"| {seconds:.0f} |"
            )
            print(lines[-1], flush=True)
            if options.output:
                options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
