from simsearch.models import parts
from simsearch.training import summary


def test_the_best_is_the_lowest_loss_and_the_highest_figure():
    records = [
        {"split": "train", "step": 1, "epoch": 1, "loss": 0.5, "learning_rate": 1.0},
        {"split": "validation", "step": 1, "epoch": 1, "map_at_r": 0.2},
        {"split": "train", "step": 2, "epoch": 2, "loss": 0.3, "spread": 0.25},
        {"split": "validation", "step": 2, "epoch": 2, "map_at_r": 0.9},
        {"split": "train", "step": 3, "epoch": 3, "loss": 0.4},
        {"split": "validation", "step": 3, "epoch": 3, "map_at_r": None},
        {"split": "validation", "step": 4, "epoch": 4, "map_at_r": 0.8},
    ]
    header, loss, spread, figure = summary.best_and_last(records).splitlines()
    assert header.split() == ["figure", "best", "at", "epoch", "last"]
    assert loss.split() == ["train", "loss", "0.3000", "2", "0.4000"]
    assert spread.split() == ["train", "spread", "-", "-", "0.2500"]
    assert figure.split() == ["validation", "map_at_r", "0.9000", "2", "0.8000"]


def test_no_records_is_a_header_alone():
    assert summary.best_and_last([]).count("\n") == 0


def test_what_is_trained_is_told_by_part():
    stem = parts.Part("stem", True, 0, 1000, True)
    stage = parts.Part("stage1", True, 25_000, 0, True)
    head = parts.Part("head", False, 300, 0, False)
    text = summary.parameters([stem, stage, head], backbone_multiplier=0.1, freeze_batch_norm=False)
    header, *lines = text.splitlines()
    assert header.startswith("part")
    assert [line.split() for line in lines] == [
        ["stem", "0", "1,000", "-", "kept"],
        ["stage1", "25,000", "0", "x", "0.1", "updated"],
        ["head", "300", "0", "x", "1", "-"],
        ["all", "25,300", "1,000"],
    ]
    kept = summary.parameters([stage], backbone_multiplier=1.0, freeze_batch_norm=True)
    assert kept.splitlines()[1].endswith("kept")
