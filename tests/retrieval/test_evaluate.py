import numpy as np

from simsearch.retrieval import evaluate
from simsearch.retrieval.metrics import ranking

OPTIONS = {
    "num_neighbors": 3,
    "temperature": 0.1,
    "triplet_margin": 1.0,
    "num_triplets": 100,
    "num_bootstrap": 50,
    "confidence": 0.95,
    "seed": 0,
}


def measure(gallery_shift=0):
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    x = np.eye(3)[labels] + 0.4 * rng.normal(size=(7, 3))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    figures = evaluate.measure(
        x,
        labels,
        gallery=x,
        gallery_labels=labels + gallery_shift,
        class_names=("a", "b", "c", "d"),
        **OPTIONS,
    )
    return x, labels, figures


def test_each_figure_is_the_mean_of_its_queries_inside_its_interval():
    x, labels, figures = measure()
    scores = ranking.leave_one_out(x, labels).per_query()
    for name, column in scores.items():
        assert np.isclose(figures.metrics[name].value, column.mean())
    for interval in figures.metrics.values():
        assert interval.low <= interval.value <= interval.high
    assert figures.num_queries == 6 and figures.num_left_out == 1
    assert set(figures.per_class) == {"a", "b"}
    assert figures.confusion.shape == (4, 4) and figures.confusion.sum() == 6
    means = evaluate.retrieval_means(x, labels)
    assert means == {name: float(np.mean(column)) for name, column in scores.items()}


def test_train_images_of_other_classes_have_no_vote():
    _, _, shared = measure()
    _, _, apart = measure(gallery_shift=3)
    assert list(shared.metrics) == [
        *list(apart.metrics)[:-1],
        "knn_accuracy",
        list(apart.metrics)[-1],
    ]


def test_the_stored_form_and_the_table_show_every_figure():
    _, _, figures = measure()
    stored = evaluate.to_json(figures, version=3)
    assert stored["version"] == 3 and stored["num_queries"] == 6
    assert set(stored["metrics"]["recall_at_1"]) == {"value", "low", "high"}
    lines = evaluate.table(figures.metrics, figures.metrics).splitlines()
    assert len(lines) == len(figures.metrics) == 10
    assert all("raw pixels" in line for line in lines)
