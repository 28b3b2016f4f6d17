import numpy as np
import pytest

from simsearch.config import files as config_files
from simsearch.retrieval import comparison, embed, evaluate, paired_test
from simsearch.retrieval.metrics import ranking

OPTIONS = evaluate.Options.of(config_files.load_config("train").eval)._replace(
    num_neighbors=3, temperature=0.1, num_triplets=50, num_bootstrap=200, confidence=0.9
)
LABELS = np.repeat(np.arange(8), 5)


def side(noise, *, seed, invalid=()):
    """Returns embeddings around one direction for each class."""
    rng = np.random.default_rng(seed)

    def around(labels):
        vectors = np.eye(8)[labels] + noise * rng.normal(size=(len(labels), 8))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    valid = ~np.isin(np.arange(len(LABELS)), invalid)
    gallery = embed.Embedded(around(LABELS), np.ones(len(LABELS), bool))
    return comparison.Side(embed.Embedded(around(LABELS), valid), gallery, LABELS)


def test_the_better_version_wins_more_queries_and_every_figure():
    found = comparison.measure(side(0.9, seed=1), side(0.2, seed=2), labels=LABELS, options=OPTIONS)
    assert {*ranking.FIGURES, "knn_accuracy", "one_minus_triplet_loss"} == set(found.figures)
    for one in found.figures.values():
        assert one.difference == pytest.approx(one.second - one.first)
        assert one.difference >= 0 and one.low <= one.difference <= one.high
    assert found.figures["map_at_r"].p_value < 0.01
    assert len(found.won) > len(found.lost)


def test_versions_of_one_process_seldom_look_different():
    rng = np.random.default_rng(0)
    centers, noise = rng.normal(size=(12, 8)), rng.normal(size=(120, 8))
    labels = np.repeat(np.arange(12), 10)
    stars = 0
    for seed in range(60):
        sides = []
        for _ in range(2):
            # Another map of the same images, as another training is.
            mixed = (centers[labels] + 0.9 * noise) @ (np.eye(8) + 0.15 * rng.normal(size=(8, 8)))
            unit = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
            embedded = embed.Embedded(unit, np.ones(120, bool))
            sides.append(comparison.Side(embedded, embedded, labels))
        found = comparison.measure(*sides, labels=labels, options=OPTIONS._replace(seed=seed))
        stars += found.figures["map_at_r"].p_value < 0.05
    # 3 expected, four standard deviations are 7; signs by query gave 30.
    assert stars <= 10


def test_a_version_against_itself_changes_nothing():
    one = side(0.5, seed=1)
    found = comparison.measure(one, one, labels=LABELS, options=OPTIONS)
    assert all(f.difference == 0 and f.p_value == 1 for f in found.figures.values())
    assert not len(found.won) and not len(found.lost)


def test_the_changed_queries_are_those_of_a_search_by_hand():
    sides = side(0.7, seed=3, invalid=[2]), side(0.7, seed=4, invalid=[11])
    found = comparison.measure(*sides, labels=LABELS, options=OPTIONS)
    kept = [row for row in range(40) if row not in (2, 11)]
    right = []
    for one, nearest in zip(sides, (found.first, found.second), strict=True):
        vectors = one.queries.embeddings
        answers = []
        for position, row in enumerate(kept):
            others = [other for other in kept if other != row]
            best = max(others, key=lambda other, row=row: vectors[row] @ vectors[other])
            assert nearest[position] == best
            answers.append(LABELS[best] == LABELS[row])
        right.append(answers)
    won = {i for i in range(38) if right[1][i] and not right[0][i]}
    lost = {i for i in range(38) if right[0][i] and not right[1][i]}
    assert found.rows.tolist() == kept
    assert set(found.won.tolist()) == won and won
    assert set(found.lost.tolist()) == lost and lost
    first, second = (
        ranking.leave_one_out(one.queries.embeddings[kept], LABELS[kept]).per_query()["map_at_r"]
        for one in sides
    )
    gains = second - first
    for changed, falling in ((gains[found.won], 1), (-gains[found.lost], 1)):
        assert len(set(changed.tolist())) > 1 and (np.diff(changed) * falling <= 0).all()


def test_an_image_alone_in_its_class_votes_and_is_no_query():
    labels = LABELS.copy()
    labels[3] = 8
    found = comparison.measure(side(0.9, seed=1), side(0.2, seed=2), labels=labels, options=OPTIONS)
    assert found.rows.tolist() == [row for row in range(40) if row != 3]
    groups = {name: one.num_groups for name, one in found.figures.items()}
    assert groups.pop("knn_accuracy") == 9 and set(groups.values()) == {8}


def test_the_table_has_a_line_for_each_figure_and_marks_what_is_sure():
    found = comparison.measure(side(0.9, seed=1), side(0.1, seed=2), labels=LABELS, options=OPTIONS)
    names = ["version 3", "version 7"]
    header, *lines = comparison.table(found.figures, names=names, confidence=0.9).splitlines()
    assert "version 3" in header and "90% interval" in header
    lines = lines[: len(found.figures)]  # What to beware of may follow.
    assert [line.split()[0] for line in lines] == list(found.figures)
    marked = {line.split()[0] for line in lines if line.endswith("*")}
    assert marked == {name for name, one in found.figures.items() if one.p_value < 0.05}
    assert "map_at_r" in marked


def test_json_names_the_images_that_changed():
    found = comparison.measure(side(0.9, seed=1), side(0.1, seed=2), labels=LABELS, options=OPTIONS)
    image_names = [f"test/{row}.jpg" for row in range(40)]
    stored = comparison.to_json(found, names=["a", "b"], image_names=image_names)
    assert stored["num_queries"] == 40
    assert stored["metrics"]["recall_at_1"]["num_won"] == len(stored["won"]) == len(found.won)
    first = found.won[0]
    assert stored["won"][0] == {
        "query": image_names[found.rows[first]],
        "a": image_names[found.first[first]],
        "b": image_names[found.second[first]],
    }


def test_a_train_image_does_not_vote_for_itself():
    sides = []
    for seed in (1, 2):
        one = side(5.0, seed=seed, invalid=[4 * seed])
        sides.append(comparison.Side(one.queries, one.queries, LABELS))
    found = comparison.measure(*sides, labels=LABELS, options=OPTIONS._replace(num_neighbors=1))
    # With one voter that is not the image itself, its vote is Recall@1.
    for name in ("first", "second"):
        knn, recall = (getattr(found.figures[of], name) for of in ("knn_accuracy", "recall_at_1"))
        assert knn < 1 and abs(knn - recall) <= 1 / len(LABELS)


def test_too_few_classes_for_any_star_are_told():
    def table(num_classes):
        labels = np.repeat(np.arange(num_classes), 5)
        sides = [
            comparison.Side(
                each.queries._replace(
                    embeddings=each.queries.embeddings[: len(labels)],
                    valid=each.queries.valid[: len(labels)],
                ),
                each.gallery,
                LABELS,
            )
            for each in (side(0.9, seed=1), side(0.2, seed=2))
        ]
        found = comparison.measure(*sides, labels=labels, options=OPTIONS)
        return comparison.table(found.figures, names=["a", "b"], confidence=0.9)

    assert "\nno p-value of 5 classes can be under 0.05: signs are drawn by class" in table(5)
    assert "signs are drawn" not in table(6)


def gain(difference, low, high, p_value):
    """Returns a figure's test on 20 classes."""
    none = np.zeros(0, np.int64)
    return paired_test.PairedTest(
        0.5, 0.5 + difference, difference, low, high, p_value, 20, none, none
    )


@pytest.mark.parametrize(
    ("low", "p_value", "confidence", "is_told"),
    [
        (0.001, 0.125, 0.95, True),
        (-0.001, 0.125, 0.95, False),
        (0.001, 0.04, 0.95, False),
        (0.001, 0.07, 0.9, False),
        (0.001, 0.06, 0.99, True),
    ],
)
def test_an_interval_that_promises_more_than_the_p_value_is_told(low, p_value, confidence, is_told):
    figures = {"mrr": gain(0.02, low, 0.04, p_value)}
    last = comparison.table(figures, names=["a", "b"], confidence=confidence).splitlines()[-1]
    assert ("leaves out 0 without a *, the p-value counts (* is under 0.05)" in last) == is_told


def test_a_difference_that_rounds_to_nothing_has_no_sign():
    figures = {"mrr": gain(-0.0, -0.00004, 0.0219, 0.25)}
    last = comparison.table(figures, names=["a", "b"], confidence=0.95).splitlines()[-1]
    assert last.split() == ["mrr", "0.5000", "0.5000", "0.0000", "[0.0000,", "+0.0219]", "0.2500"]
