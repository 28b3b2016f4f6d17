"""The index as the routes see it: what it holds, what is added, what is deleted."""

import asyncio
import collections
import contextlib
import os
import re
import time
from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException

from simsearch import errors, index
from simsearch.config import serving as config_serving
from simsearch.data.decoding import smaller_images
from simsearch.index import model
from simsearch.serve import intake, models
from simsearch.serve import searcher as searcher_lib

_LARGE = 1600  # Pixels, longer side of the large view.
_LABELS_SECONDS = 20.0


class Service:
    """Answers what the routes ask; the event loop's thread calls it.

    Attributes:
        config: The configuration's `serve` group.
        searcher: Answers queries.
        is_stopping: Whether the server takes no more requests.
        false_match_rate: Share of the pairs of different classes that reach the threshold.
    """

    def __init__(self, opened: index.Index, *, config: config_serving.Serve) -> None:
        """Takes an open index, which outlives it."""
        self.config = config
        self.searcher = searcher_lib.Searcher(opened, config=config)
        self.is_stopping = False
        self.false_match_rate = opened.embedder.config.eval.false_match_rate
        self._index = opened
        self._changing = asyncio.Lock()
        self._counting = asyncio.Lock()
        # How many changes there were before they were counted, until when they hold, and they.
        self._labels: tuple[int, float, models.Labels] | None = None
        self._num_changes = 0

    def close(self) -> None:
        """Answers what still waits, and ends the threads."""
        self.searcher.close()

    async def add(self, addition: intake.Addition) -> list[str]:
        """Adds images, and returns their ids when they are stored.

        Raises:
            HTTPException: Where one of them cannot be read, with its name; none is added then.
        """
        encoded = [upload.encoded for upload in addition.uploads]
        await self._check_each(addition.uploads, self.searcher.check)
        async with self._changing:
            try:
                return await asyncio.to_thread(
                    self._index.add,
                    encoded,
                    labels=addition.labels or None,
                    paths=addition.paths or [upload.name for upload in addition.uploads],
                )
            except errors.CorruptImage as error:
                # Which one it is costs a second decoding, so only who fails pays it.
                await self._check_each(addition.uploads, self._index.embedder.preprocess)
                raise intake.unreadable(error) from error
            finally:
                self._num_changes += 1

    async def _check_each(
        self, uploads: Sequence[intake.Upload], check: Callable[[bytes], object]
    ) -> None:
        """Raises what a check says of the first upload that fails it, with the upload's name."""
        problems = await asyncio.gather(
            *(self.searcher.decode(check, upload.encoded) for upload in uploads),
            return_exceptions=True,
        )
        for upload, problem in zip(uploads, problems, strict=True):
            if isinstance(problem, errors.CorruptImage):
                raise intake.of_upload(upload, intake.unreadable(problem)) from problem
            if isinstance(problem, HTTPException):
                raise intake.of_upload(upload, problem) from problem
            if isinstance(problem, BaseException):
                raise problem

    async def remove(self, id_: str) -> int:
        """Deletes a stored image, and returns 1 when it is gone.

        Raises:
            HTTPException: 404 where there is none.
        """
        async with self._changing:
            removed = await asyncio.to_thread(self._index.remove, [id_])
            self._num_changes += 1
        if not removed:
            raise _missing()
        return removed

    async def why_nothing(self, filter_text: str | None) -> str:
        """Returns why a search found nothing, in words."""
        return await asyncio.to_thread(self.searcher.why_nothing, filter_text)

    async def get(self, id_: str) -> models.StoredImage:
        """Returns what is known of a stored image."""
        found = await asyncio.to_thread(self._index.get, id_)
        if found is None:
            raise _missing()
        return _stored(found)

    async def thumbnail(self, id_: str) -> bytes:
        """Returns a stored image's thumbnail, a JPEG."""
        found = await asyncio.to_thread(self._index.thumbnail, id_)
        if found is None:
            raise _missing()
        return found

    async def large(self, id_: str) -> bytes:
        """Returns a stored image from its file, shrunk to a screen; the thumbnail where it is gone.

        The file is drawn anew: what it carries besides pixels, such as a place, does not leave.
        """
        # Changed, gone or closed to the server since it was indexed.
        with contextlib.suppress(OSError, errors.CorruptImage):
            path = await asyncio.to_thread(self._index.file_of, id_)
            if path is not None:
                return await self.searcher.decode(self._shrunk, path)
        return await self.thumbnail(id_)

    async def sample(self, limit: int, filter_text: str | None) -> list[models.StoredImage]:
        """Returns some stored images; HTTPException where a filter is none."""
        where = searcher_lib.checked_filter(filter_text) or None
        found = await asyncio.to_thread(self._index.sample, limit, filter=where)
        return [_stored(hit) for hit in found]

    async def labels(self) -> models.Labels:
        """Returns the labels, counted at most some seconds ago."""
        async with self._counting:  # Who comes meanwhile takes what the first one counted.
            changes = self._num_changes
            if self._labels is None or self._labels[:2] < (changes, time.monotonic()):
                counts = collections.Counter(await asyncio.to_thread(self._index.labels))
                ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
                labels = [models.LabelCount(label=name, count=count) for name, count in ordered]
                until = time.monotonic() + _LABELS_SECONDS
                self._labels = changes, until, models.Labels(labels=labels)
            return self._labels[2]

    async def info(self, *, can_change: bool) -> models.Info:
        """Returns which model and which index answer; the index by its name, not by its place."""
        about, config = self._index.info, self.config
        return models.Info(
            version=about.version,
            backbone=about.backbone,
            fingerprint=about.fingerprint,
            embedding_size=about.embedding_size,
            engine=about.engine,
            index=index_name(about.url),
            num_images=await asyncio.to_thread(self._index.count),
            limits=models.Limits(
                max_upload_mb=config.max_upload_mb,
                max_top_k=config.max_top_k,
                max_query_images=config.max_query_images,
                url_queries=config.allow_url_queries,
                changes=can_change,
            ),
        )

    async def successor(self) -> str | None:
        """Returns the model whose index took the place of this one, in words; None: none did."""
        about = await asyncio.to_thread(self._index.successor)
        return None if about is None else model.named(about)

    def count(self) -> int:
        """Returns how many images the index holds."""
        return self._index.count()

    def _shrunk(self, path: os.PathLike) -> bytes:
        with open(path, "rb") as file:
            encoded = file.read()
        return smaller_images.thumbnail(
            encoded, longest=_LARGE, max_pixels=self._index.embedder.config.data.max_pixels
        )


def index_name(url: str) -> str:
    """Returns what an index may be called in public: the end of its place, nothing above it."""
    return re.split(r"[/:]", url.rstrip("/"))[-1] or "index"


def _stored(hit: index.Hit) -> models.StoredImage:
    return models.StoredImage(id=hit.id, label=hit.label, path=hit.path, metadata=hit.metadata)


def _missing() -> HTTPException:
    return HTTPException(404, "there is no image with this id")
