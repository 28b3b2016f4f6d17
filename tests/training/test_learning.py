"""Quality cannot fall unseen: every loss trains a tiny network on digits, to a floor."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets

from simsearch import wiring
from simsearch.config import files as config_files
from simsearch.data import batch as batch_lib
from simsearch.data import sampling
from simsearch.losses import classes
from simsearch.losses import terms as terms_lib
from simsearch.models import network as network_lib
from simsearch.retrieval.metrics import ranking
from simsearch.training import optimizer as optimizer_lib
from simsearch.training import state as state_lib
from simsearch.training import step as step_lib

NUM_STEPS = 150
# Six dimensions: what is not trained retrieves half of the digits, where wide random features
# would retrieve nearly all of them.
EMBEDDING_SIZE = 6


class Perceptron(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = images.reshape(len(images), -1).astype(jnp.float32) / 16 - 0.3
        x = nn.relu(nn.Dense(64)(x))
        return network_lib.unit(nn.Dense(EMBEDDING_SIZE)(x))


@functools.cache
def digits():
    """Returns images and labels to train on, and others to search among."""
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def recall_at_1(variables, images, labels):
    embeddings = np.asarray(Perceptron().apply(variables, images, train=False))
    scores = ranking.leave_one_out(embeddings, labels)
    return float(np.mean(scores.per_query()["recall_at_1"]))


def train(overrides):
    """Returns the state before and after training as the configuration says."""
    config = config_files.load_config("train", overrides)
    terms = wiring.losses.terms(config)
    (images, labels), _ = digits()
    schedule = optimizer_lib.create_schedule(
        peak_learning_rate=0.01, num_steps=NUM_STEPS, num_warmup_steps=10, final_fraction=0.01
    )
    optimizer = optimizer_lib.create_optimizer(
        schedule,
        weight_decay=1e-4,
        beta1=0.9,
        beta2=0.99,
        epsilon=1e-8,
        clip_norm=config.optimizer.clip_norm,
        trainable=lambda params: jax.tree.map(lambda _: True, params),
    )
    variables = Perceptron().init(jax.random.key(0), images[:1], train=False)
    key = jax.random.key(1)
    state = begin = state_lib.create(
        variables,
        optimizer,
        proxies={
            term.name: classes.init_proxies(key, 10, embedding_size=EMBEDDING_SIZE)
            for term in terms
            if terms_lib.has_proxies(term.name)
        },
        is_averaged=config.train.ema_decay > 0,
    )
    step = jax.jit(
        step_lib.create_train_step(
            Perceptron(),
            optimizer,
            terms=terms,
            axis_name=None,
            ema_decay=config.train.ema_decay,
        )
    )
    rows_of = sampling.classes_by_samples(labels, seed=0, batch_size=60, samples_per_class=6)
    for number in range(NUM_STEPS):
        rows = rows_of(number)
        batch = batch_lib.Batch(images[rows], np.int32(labels[rows]), np.ones(60, bool))
        state, _ = step(state, batch, jax.random.fold_in(key, number))
    return begin, state


def alone(name, **fields):
    """Returns the overrides of a training by one loss and no other."""
    others = {f"loss.terms.{term}": 0.0 for term in ("triplet", "supcon", "normalised_softmax")}
    return others | {f"loss.terms.{name}": 1.0} | fields


RECIPES = {
    name: alone(name)
    for name in (
        "triplet",
        "supcon",
        "multi_similarity",
        "circle",
        "proxy_anchor",
        "arcface",
        "normalised_softmax",
    )
} | {
    "triplet, semi-hard": alone("triplet", **{"loss.triplet.miner": "semi_hard"}),
    "triplet, distance weighted": alone("triplet", **{"loss.triplet.miner": "distance_weighted"}),
    "the default, averaged": {"train.ema_decay": 0.95},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_short_training_retrieves_unseen_digits(recipe):
    begin, end = train(RECIPES[recipe])
    _, unseen = digits()
    before, after = (recall_at_1(state.variables, *unseen) for state in (begin, end))
    assert before < 0.7, "the floor would say nothing"
    assert after > 0.9, (before, after)
