"""Nested-loop float64 references for the losses, handed to the tests as `oracles`."""

import sys

import numpy as np
import pytest


@pytest.fixture
def oracles():
    return sys.modules[__name__]


def penalty(violation, *, soft_margin):
    return np.logaddexp(0.0, violation) if soft_margin else max(violation, 0.0)


def slope(violation, *, soft_margin):
    return 1 / (1 + np.exp(-violation)) if soft_margin else float(violation > 0)


def triplets_batch_all(d, positive, negative):
    a_n = range(d.shape[0]), range(d.shape[1])
    return [
        (a, p, n)
        for a in a_n[0]
        for p in a_n[1]
        for n in a_n[1]
        if positive[a, p] and negative[a, n]
    ]


def triplets_batch_hard(d, positive, negative):
    chosen = []
    for a in range(d.shape[0]):
        ps = [p for p in range(d.shape[1]) if positive[a, p]]
        ns = [n for n in range(d.shape[1]) if negative[a, n]]
        if ps and ns:
            p, n = max(ps, key=lambda p: d[a, p]), min(ns, key=lambda n: d[a, n])  # noqa: B023
            chosen.append((a, p, n))
    return chosen


def triplets_semi_hard(d, positive, negative):
    chosen = []
    for a in range(d.shape[0]):
        ns = [n for n in range(d.shape[1]) if negative[a, n]]
        for p in range(d.shape[1]):
            if not (positive[a, p] and ns):
                continue
            further = [n for n in ns if d[a, n] > d[a, p]]
            if further:
                n = min(further, key=lambda n: d[a, n])  # noqa: B023
            else:
                n = max(ns, key=lambda n: d[a, n])  # noqa: B023
            chosen.append((a, p, n))
    return chosen


TRIPLETS = {
    "batch_all": triplets_batch_all,
    "batch_hard": triplets_batch_hard,
    "semi_hard": triplets_semi_hard,
}


def mine(d, positive, negative, *, miner, margin, soft_margin):
    """Returns (total, count, num_active, num_candidates) and the gradient of total by d."""
    triplets = TRIPLETS[miner](d, positive, negative)
    expected, gradient = sum_over(d, triplets, margin=margin, soft_margin=soft_margin)
    total, count, num_active, num_candidates = expected
    if miner == "batch_all" and not soft_margin:
        count = num_active
    return (total, count, num_active, num_candidates), gradient


def sum_over(d, triplets, *, margin, soft_margin):
    total, num_active, gradient = 0.0, 0, np.zeros_like(d)
    for a, p, n in triplets:
        violation = d[a, p] - d[a, n] + margin
        total += penalty(violation, soft_margin=soft_margin)
        num_active += violation > 0
        gradient[a, p] += slope(violation, soft_margin=soft_margin)
        gradient[a, n] -= slope(violation, soft_margin=soft_margin)
    return (total, len(triplets), num_active, len(triplets)), gradient


def distance(x, y, *, name):
    if name == "cosine":
        return 1 - np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y))
    squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    return np.sqrt(squared) if name == "euclidean" else squared


def all_distances(x, y, *, name):
    return np.array([[distance(a, b, name=name) for b in y] for a in x])


def masks(labels, rows, valid):
    shape = (len(rows), len(labels))
    positive, negative = np.zeros(shape, bool), np.zeros(shape, bool)
    for a, row in enumerate(rows):
        for n in range(len(labels)):
            both = valid[row] and valid[n]
            positive[a, n] = both and labels[row] == labels[n] and row != n
            negative[a, n] = both and labels[row] != labels[n]
    return positive, negative


def central_differences(function, x, *, step=1e-6):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += step
        below[i] -= step
        gradient[i] = (function(above) - function(below)) / (2 * step)
    return gradient


def cosine(x, y):
    return np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y))


def log_sum_exp(values):
    largest = max(values)
    return largest + np.log(sum(np.exp(v - largest) for v in values))


def supcon(x, labels, valid, *, temperature):
    losses = []
    for i in range(len(x)):
        others = [a for a in range(len(x)) if a != i and valid[a] and valid[i]]
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            scores = {a: cosine(x[i], x[a]) / temperature for a in others}
            total = log_sum_exp(scores.values())
            losses.append(-np.mean([scores[p] - total for p in positives]))
    return np.mean(losses)


def smooth_cross_entropy(logits, label, *, label_smoothing):
    total = log_sum_exp(logits)
    num_classes = len(logits)
    return sum(
        ((1 - label_smoothing) * (c == label) + label_smoothing / num_classes) * (total - logit)
        for c, logit in enumerate(logits)
    )


def normalised_softmax(x, labels, valid, proxies, mixed_labels, weights, *, scale, label_smoothing):
    losses = []
    for i in range(len(x)):
        if valid[i]:
            logits = [scale * cosine(x[i], w) for w in proxies]
            own, other = (
                smooth_cross_entropy(logits, label[i], label_smoothing=label_smoothing)
                for label in (labels, mixed_labels)
            )
            losses.append(weights[i] * own + (1 - weights[i]) * other)
    return np.mean(losses)


def all_pairs(x, labels, valid, num_anchors=None):
    """Yields of each anchor the cosines to its positives and to its negatives."""
    for i in range(num_anchors or len(x)):
        others = [a for a in range(len(x)) if a != i and valid[a] and valid[i]]
        positives = [cosine(x[i], x[a]) for a in others if labels[a] == labels[i]]
        yield positives, [cosine(x[i], x[a]) for a in others if labels[a] != labels[i]]


def each_anchor(*images):
    """Yields the same of the anchors that have both."""
    return (both for both in all_pairs(*images) if all(both))


def multi_similarity(x, labels, valid, *, alpha, beta, base, epsilon, num_anchors=None):
    losses = []
    for positives, negatives in each_anchor(x, labels, valid, num_anchors):
        kept_p = [s for s in positives if s < max(negatives) + epsilon]
        kept_n = [s for s in negatives if s > min(positives) - epsilon]
        pull = np.log(1 + sum(np.exp(-alpha * (s - base)) for s in kept_p)) / alpha
        push = np.log(1 + sum(np.exp(beta * (s - base)) for s in kept_n)) / beta
        losses.append(pull + push)
    return np.mean(losses)


def circle(x, labels, valid, *, margin, scale, weights_of=None, num_anchors=None):
    """The weights a_p and a_n are taken of `weights_of`: they carry no gradient."""
    losses = []
    fixed = each_anchor(x if weights_of is None else weights_of, labels, valid, num_anchors)
    for (positives, negatives), (fixed_p, fixed_n) in zip(
        each_anchor(x, labels, valid, num_anchors), fixed, strict=True
    ):
        total = 0.0
        for s_n, f_n in zip(negatives, fixed_n, strict=True):
            for s_p, f_p in zip(positives, fixed_p, strict=True):
                push = scale * max(f_n + margin, 0) * (s_n - margin)
                pull = scale * max(1 + margin - f_p, 0) * (s_p - (1 - margin))
                total += np.exp(push - pull)
        losses.append(np.log(1 + total))
    return np.mean(losses)


def with_margin(s, margin):
    angle = np.arccos(np.clip(s, -1, 1))
    return np.cos(angle + margin) if angle + margin <= np.pi else s - margin * np.sin(margin)


def arcface(x, labels, valid, proxies, mixed_labels, weights, *, margin, scale, label_smoothing):
    def loss(row, label):
        cosines = [cosine(row, w) for w in proxies]
        logits = [scale * with_margin(s, margin * (c == label)) for c, s in enumerate(cosines)]
        return smooth_cross_entropy(logits, label, label_smoothing=label_smoothing)

    return np.mean(
        [
            weights[i] * loss(x[i], labels[i]) + (1 - weights[i]) * loss(x[i], mixed_labels[i])
            for i in range(len(x))
            if valid[i]
        ]
    )


def proxy_anchor(x, labels, valid, proxies, mixed_labels, weights, *, margin, scale):
    pulls, pushes = [], []
    for c, w in enumerate(proxies):
        pull = push = 0.0
        present = False
        for i in range(len(x)):
            if valid[i]:
                inside = weights[i] * (labels[i] == c) + (1 - weights[i]) * (mixed_labels[i] == c)
                present |= inside > 0
                pull += inside * np.exp(-scale * (cosine(x[i], w) - margin))
                push += (1 - inside) * np.exp(scale * (cosine(x[i], w) + margin))
        pushes.append(np.log(1 + push))
        if present:
            pulls.append(np.log(1 + pull))
    return np.mean(pulls) + np.mean(pushes)


def distance_weights(x, i, candidates, *, nearest=0.5, farthest=1.4):
    """Wu et al.'s chance of each candidate negative of anchor i, in their own words."""
    size = x.shape[1]
    weights = {}
    for n in candidates:
        d = distance(x[i], x[n], name="euclidean")
        if d < farthest:
            d = max(d, nearest)
            log_q = (size - 2) * np.log(d) + (size - 3) / 2 * np.log(1 - d**2 / 4)
            weights[n] = np.exp(-log_q)
    if not weights:
        weights = dict.fromkeys(candidates, 1.0)
    return {n: weight / sum(weights.values()) for n, weight in weights.items()}


def distance_weighted(x, d, positive, negative, *, uniforms, **options):
    """Each positive pair's negative is where its number falls among the chances in a row."""
    triplets = []
    for a, p in np.argwhere(positive):
        candidates = np.flatnonzero(negative[a])
        if len(candidates):
            chances = distance_weights(x, a, candidates)
            reached, ends = 0.0, {}
            for n in chances:
                reached += chances[n]
                ends[n] = reached
            triplets.append((a, p, next(n for n in ends if uniforms[a, p] < ends[n])))
    return sum_over(d, triplets, **options)


def supcon_activity(x, labels, valid, **_):
    """Anchors, of those with a positive, with a negative at least as near as the farthest."""
    active = candidates = 0
    for positives, negatives in all_pairs(x, labels, valid):
        candidates += bool(positives)
        active += bool(positives and negatives and max(negatives) >= min(positives))
    return active, candidates


def multi_similarity_activity(x, labels, valid, *, epsilon, **_):
    active = candidates = 0
    for positives, negatives in all_pairs(x, labels, valid):
        candidates += len(positives) + len(negatives)
        active += sum(bool(negatives) and s < max(negatives) + epsilon for s in positives)
        active += sum(bool(positives) and s > min(positives) - epsilon for s in negatives)
    return active, candidates


def circle_activity(x, labels, valid, *, margin, **_):
    active = candidates = 0
    for positives, negatives in all_pairs(x, labels, valid):
        candidates += len(positives) + len(negatives)
        active += sum(s < 1 - margin for s in positives) + sum(s > margin for s in negatives)
    return active, candidates


def proxy_anchor_activity(x, labels, valid, proxies, mixed_labels, weights, *, margin, **_):
    active = candidates = 0
    for i in range(len(x)):
        for c, w in enumerate(proxies):
            if valid[i]:
                inside = weights[i] * (labels[i] == c) + (1 - weights[i]) * (mixed_labels[i] == c)
                too_far = inside > 0 and cosine(x[i], w) < margin
                too_near = inside < 1 and cosine(x[i], w) > -margin
                active += too_far or too_near
                candidates += 1
    return active, candidates


def normalised_softmax_activity(x, labels, valid, proxies, mixed_labels, weights, *, margin=0, **_):
    """Images whose own class does not come first, the margin on its angle included."""
    active = 0
    for i in range(len(x)):
        scores = [
            with_margin(cosine(x[i], w), margin * (c == labels[i])) for c, w in enumerate(proxies)
        ]
        active += bool(valid[i]) and int(np.argmax(scores)) != labels[i]
    return active, int(np.sum(valid))


arcface_activity = normalised_softmax_activity
