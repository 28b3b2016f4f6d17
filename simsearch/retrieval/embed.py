"""The Embedder: a trained version as a function from images to embeddings."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simsearch import checkpoints, errors, models, parallel, preprocessing, progress, runs, wiring
from simsearch.config import Config
from simsearch.data import batch as batch_lib
from simsearch.data import corrupt as corrupt_lib
from simsearch.data import sources
from simsearch.data.decoding import images as images_lib
from simsearch.retrieval import discriminant as discriminant_lib
from simsearch.retrieval import neighbors


class Embedded(NamedTuple):
    """The embeddings of a split, in row order."""

    embeddings: np.ndarray  # float32 [N, D], L2-normalised; zeros where the image is unreadable
    valid: np.ndarray  # bool [N], False where the image could not be read


class Embedder:
    """Embeds images with a version's own network and preprocessing.

    Attributes:
        config: The version's configuration.
        class_names: Names of the classes that it was trained on.
        fingerprint: Hex SHA-256 of the network, its variables and its pooling: equal for equal
            networks only, in whatever precision they compute.
    """

    def __init__(self, config: Config, variables: Any, *, class_names: Iterable[str] = ()) -> None:
        """Makes an embedder of a network in memory; `from_version` reads one from disk."""
        self.config = config = preprocessing.resolve(config)
        self.class_names = tuple(class_names)
        self.fingerprint = fingerprint(variables, pooling=config.model.pooling)
        self._devices = parallel.local_devices(config.train.num_devices)
        epsilon = models.find_backbone(config.model.backbone).norm_epsilon
        folded = models.fold_batch_norm(jax.tree.map(np.asarray, variables), epsilon=epsilon)
        self._variables = parallel.replicate(folded, self._devices)
        self._embed = create_embed_function(config)

    @classmethod
    def from_version(
        cls,
        version: int | runs.Version | None = None,
        *,
        workdir: str | os.PathLike = "runs",
        config: Config | None = None,
    ) -> "Embedder":
        """Returns the embedder of a version's best checkpoint.

        Args:
            version: Number of the version, or the version itself; None: the newest.
            workdir: Folder of the versions.
            config: The version's configuration with fields changed that make no other model of it;
                None: as it was stored.

        Raises:
            UsageError: Where there is no such version, or it holds no checkpoint yet.
        """
        if not isinstance(version, runs.Version):
            version = runs.find(workdir, version)
        config = config or version.config
        with checkpoints.best_of(version) as (store, step):
            variables = store.restore_variables(step)
        if (found := discriminant_lib.load(version, step=step)) is not None:
            variables = discriminant_lib.into_head(variables, found)
        return cls(config, variables, class_names=version.read_facts().get("class_names", ()))

    @property
    def embedding_size(self) -> int:
        """Dimensions of an embedding."""
        return wiring.network.embedding_size(self.config)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of an image that is preprocessed: S, S, and three channels for each view of it."""
        return images_lib.eval_shape(self.config.data.resize_mode, self.config.data.image_size)

    def embed(self, images: np.ndarray, *, batch_size: int | None = None) -> np.ndarray:
        """Returns the embeddings of images that are already preprocessed.

        Args:
            images: uint8 [N, *input_shape], as `preprocess` gives them.
            batch_size: Images at a time, to which fewer are padded; None: eval.batch_size, or fewer
                padded to a power of two for each device, so that few programs serve every number.

        Returns:
            float32 [N, D], L2-normalised.

        Raises:
            UsageError: Where they are of another type or shape, such as numbers from 0 to 1.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != self.input_shape:
            expected, found = (
                f"{dtype} [{', '.join(map(str, ('N', *shape)))}]"
                for dtype, shape in (("uint8", self.input_shape), (images.dtype, images.shape[1:]))
            )
            raise errors.UsageError(
                f"expected images {expected}, got {found}: make them with Embedder.preprocess"
            )
        if not len(images):
            return np.zeros((0, self.embedding_size), np.float32)
        # One size for all: to compile another one for the last would cost more than to pad it.
        size = parallel.bucket(
            batch_size or len(images),
            at_most=batch_size or self.config.eval.batch_size,
            multiple=len(self._devices),
        )
        return self._embed_batches(_padded(images, size), num_rows=len(images)).embeddings

    def preprocess(self, encoded: bytes) -> np.ndarray:
        """Returns an encoded image as the network takes it, uint8 `input_shape`.

        Raises:
            CorruptImage: Where it cannot be read.
        """
        data = self.config.data
        return images_lib.load_for_eval(
            encoded,
            resize_mode=data.resize_mode,
            resize_size=data.resize_size,
            image_size=data.image_size,
            max_pixels=data.max_pixels,
            interpolation=data.interpolation,
        )

    def embed_files(self, paths: str | os.PathLike | Iterable[str | os.PathLike]) -> np.ndarray:
        """Returns the embeddings of image files, or of a single one, float32 [N, D].

        Raises:
            UsageError: Where a file cannot be opened.
            CorruptImage: Where one is no readable image; says which.
        """
        images = []
        for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
            try:
                encoded = pathlib.Path(path).read_bytes()
            except OSError as error:
                raise errors.UsageError(f"{path} cannot be read: {error.strerror}") from error
            with errors.naming_image(os.fspath(path)):
                images.append(self.preprocess(encoded))
        return self.embed(np.asarray(images, np.uint8).reshape(-1, *self.input_shape))

    def embed_split(self, split: sources.Split, *, corrupt: corrupt_lib.CorruptLog) -> Embedded:
        """Returns the embeddings of every row of a split.

        Args:
            split: The images.
            corrupt: Collects the rows that could not be read.
        """
        batches = progress.track(
            wiring.images.eval_batches(self.config, split, corrupt=corrupt),
            total=-(-len(split.labels) // self.config.eval.batch_size),
            description="embedding",
            unit="batch",
        )
        return self._embed_batches(batches, num_rows=len(split.labels))

    def _embed_batches(self, batches: Iterable[batch_lib.Batch], *, num_rows: int) -> Embedded:
        return embed_batches(
            self._embed,
            self._variables,
            batches=batches,
            devices=self._devices,
            num_rows=num_rows,
        )


def _padded(images: np.ndarray, size: int) -> Iterator[batch_lib.Batch]:
    """Yields images without classes as batches of one size."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        padding = [(0, size - len(part)), (0, 0), (0, 0), (0, 0)]
        is_valid = np.arange(size) < len(part)
        yield batch_lib.Batch(np.pad(part, padding), np.full(size, -1, np.int32), is_valid)


def create_embed_function(config: Config) -> Callable[[Any, jax.Array], jax.Array]:
    """Returns the compiled `(variables, images uint8 [B, S, S, 3 V]) -> float32 [B, D]`.

    Of several views of an image, mirror images among them, it is the mean, L2-normalised.
    """
    network = wiring.network.create(config)

    def embed(variables: Any, images: jax.Array) -> jax.Array:
        # The views of an image beside each other, so that all stay on the image's device.
        views = jnp.stack(jnp.split(images, images.shape[-1] // 3, axis=-1), axis=1)
        if config.model.mirror:
            views = jnp.concatenate([views, views[:, :, :, ::-1]], axis=1)
        embeddings = network.apply(variables, views.reshape(-1, *views.shape[2:]), train=False)
        num_views = views.shape[1]
        if num_views == 1:
            return embeddings
        return models.unit(embeddings.reshape(len(images), num_views, -1).sum(1))

    return jax.jit(embed)


def embed_batches(
    embed: Callable[[Any, jax.Array], jax.Array],
    variables: Any,
    *,
    batches: Iterable[batch_lib.Batch],
    devices: list[jax.Device],
    num_rows: int,
) -> Embedded:
    """Returns the embeddings of batches, padded rows dropped.

    Args:
        embed: As `create_embed_function` returns it.
        variables: The network's variables, replicated over the devices.
        batches: In row order; the last one padded.
        devices: Where the batches are spread.
        num_rows: Rows without the padding.
    """
    outputs, valid = [], []
    last: Callable[[], np.ndarray] | None = None
    for batch in batches:
        # The device is not waited for: the next batch is read while this one computes.
        wait = parallel.start(embed, variables, batch.images, devices)
        valid.append(batch.valid)
        if last is not None:
            outputs.append(last())
        last = wait
    outputs += [last()] if last else []
    embeddings = np.concatenate(outputs)[:num_rows]
    is_valid = np.concatenate(valid)[:num_rows]
    return Embedded(np.where(is_valid[:, None], embeddings, 0.0).astype(np.float32), is_valid)


def embed_pixels(
    config: Config, split: sources.Split, *, corrupt: corrupt_lib.CorruptLog
) -> Embedded:
    """Returns the raw pixels as embeddings: the floor that a trained network must rise above.

    Images are shrunk to at most 32 pixels a side and L2-normalised.

    Args:
        config: The version's configuration, for the preprocessing.
        split: The images.
        corrupt: Collects the rows that could not be read.
    """
    config = preprocessing.resolve(config)
    size = min(config.data.image_size, 32)
    data = dataclasses.replace(config.data, image_size=size, resize_size=size)
    small = dataclasses.replace(config, data=data)
    rows, valid = [], []
    for batch in wiring.images.eval_batches(small, split, corrupt=corrupt):
        rows.append(batch.images.reshape(len(batch.images), -1).astype(np.float32))
        valid.append(batch.valid)
    num_images = len(split.labels)
    pixels = neighbors.unit_rows(np.concatenate(rows)[:num_images])
    return Embedded(pixels, np.concatenate(valid)[:num_images])


def fingerprint(variables: Any, *, pooling: str) -> str:
    """Returns a hex SHA-256 over the names, shapes and bytes of all arrays, and the pooling.

    Only the maximum adds to it: the average is what the arrays of earlier indexes stand for, and
    the generalised mean is told by its exponent, which is among them.
    """
    digest = hashlib.sha256(b"max;" if pooling == "max" else b"")
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
