"""What is wrong between fields of a configuration that are each right."""

from collections.abc import Iterator

from simsearch.config import augment, loss, serving
from simsearch.config.groups import Config, Sampling

_MIN_PIXELS = 8


def of(config: Config) -> Iterator[str]:
    """Yields what is wrong between fields that are each right."""
    data, sampling, train, model = config.data, config.sampling, config.train, config.model
    is_fixed = model.freeze == "all" and model.head == "none" and model.pooling != "gem"
    if is_fixed and (train.num_epochs or train.num_steps):
        yield "model.freeze=all with model.head=none leaves nothing to train"
    if data.source == "folder" and not data.path:
        yield "data.source=folder needs data.path, the folder of class folders"
    if data.source != "folder" and data.path:
        yield f"data.path={data.path!r} is read only with data.source=folder, not {data.source}"
    for name, size in (("image_size", data.image_size), ("resize_size", data.resize_size)):
        if 0 < size < _MIN_PIXELS:
            yield f"data.{name}={size} must be at least {_MIN_PIXELS}, or 0 for the weights' own"
    for name, values in (("image_mean", data.image_mean), ("image_std", data.image_std)):
        if len(values) not in (0, 3):
            yield f"data.{name}={values} must be three numbers, or () for the weights' own"
    if 0 < data.resize_size < data.image_size:
        yield (
            f"data.resize_size={data.resize_size} must be at least "
            f"data.image_size={data.image_size}, which is cropped from it"
        )
    for name, zero in (("train", "data.image_size"), ("early", "as in the other steps")):
        size = getattr(data, f"{name}_image_size")
        if 0 < data.resize_size < size or 0 < size < _MIN_PIXELS:
            yield (
                f"data.{name}_image_size={size} must be 0, for {zero}, or from {_MIN_PIXELS} to "
                f"data.resize_size={data.resize_size or 'that of the weights'}"
            )
    later = data.train_image_size or data.image_size
    if 0 < later < data.early_image_size:
        yield (
            f"data.early_image_size={data.early_image_size} must be at most the {later} pixels of "
            "the steps after it, or 0"
        )
    if data.valid_fraction + data.test_fraction >= 1:
        yield "data.valid_fraction + data.test_fraction must be under 1, or no image is left"
    if data.valid_class_fraction + data.test_class_fraction >= 1:
        yield (
            "data.valid_class_fraction + data.test_class_fraction must be under 1, or no class is "
            "left to train on"
        )
    if data.split == "image" and (data.valid_classes or data.test_classes):
        yield "data.valid_classes and data.test_classes are read only with data.split=class"
    if sampling.mode == "hard_classes" and data.split == "class":
        yield (
            "sampling.mode=hard_classes needs data.split=image: a validation on other classes "
            "tells nothing of those that are trained on"
        )
    yield from augment.contradictions(config.augment)
    yield from serving.contradictions(config.serve)
    yield from _of_batches(config.sampling, train.batch_size)
    yield from _of_losses(config)


def _of_batches(sampling: Sampling, batch_size: int) -> Iterator[str]:
    """Yields why no batches of a size can be made."""
    if sampling.mode == "triplets" and batch_size % 3:
        yield (
            f"train.batch_size={batch_size} counts images and sampling.mode=triplets takes "
            f"three for each triplet; try {max(3, batch_size // 3 * 3)}"
        )
    if sampling.mode in ("classes_by_samples", "hard_classes"):
        if batch_size % sampling.samples_per_class:
            yield (
                f"train.batch_size={batch_size} must be a multiple of "
                f"sampling.samples_per_class={sampling.samples_per_class}"
            )
        elif batch_size == sampling.samples_per_class:
            yield (
                f"train.batch_size={batch_size} with sampling.samples_per_class="
                f"{sampling.samples_per_class} makes batches of one class, which nothing is told "
                f"apart from; try train.batch_size={2 * sampling.samples_per_class} or more"
            )


def _of_losses(config: Config) -> Iterator[str]:
    """Yields what is wrong between the losses and how they are trained."""
    terms = config.loss.terms
    uses_own_triplets = terms.triplet and config.loss.triplet.miner == "none"
    if config.sampling.mode != "triplets" and uses_own_triplets:
        yield "loss.triplet.miner=none needs sampling.mode=triplets, or choose a miner"
    has_class_vectors = terms.proxy_anchor or terms.arcface or terms.normalised_softmax
    if config.train.monitor == "classifier_accuracy" and not has_class_vectors:
        yield (
            "train.monitor=classifier_accuracy needs a loss with class vectors, such as "
            "loss.terms.normalised_softmax=1; or choose another, such as map_at_r"
        )
    yield from loss.contradictions(config.loss)
