"""Searches: what waits at the same time is embedded and compared together."""

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
from starlette.exceptions import HTTPException

from simsearch import cores, errors, index, parallel, progress
from simsearch.config import serving as config_serving
from simsearch.data import fetch
from simsearch.data.decoding import smaller_images
from simsearch.index import queries
from simsearch.index.filters import matching
from simsearch.index.filters import tree as tree_lib
from simsearch.serve import batching, intake

# Fields of a stored image that tell of the server's own disk: no filter may feel for them.
_PRIVATE_FIELDS = frozenset({"source"})
_MAX_COMPARISONS = 200  # Of a filter; each makes a mask of all images.
# Results are searched in a few numbers, whatever is asked for: one program for each is compiled.
_FEW = 32
_MAX_FETCHES = 8  # Addresses that are read at a time.


class _Wanted(NamedTuple):
    """One vector to search with, and what is asked for; the ids are no results."""

    vector: np.ndarray
    top_k: int
    filter: str
    exclude: Set[str] = frozenset()


class Searcher:
    """Answers queries; the event loop's thread calls it.

    Attributes:
        on_batch: Told the number of images of each forward pass.
    """

    def __init__(self, opened: index.Index, *, config: config_serving.Serve) -> None:
        """Starts the threads that decode, embed and search."""
        self.on_batch: Callable[[int], None] = lambda size: None
        self._index = opened
        self._config = config
        self._under_way = 0
        # Results, and besides them the query's own images and those that are passed over.
        most = config.max_top_k + config.max_query_images + config.max_top_k
        self._levels = sorted({_FEW, max(_FEW, most)})
        self._decoders = futures.ThreadPoolExecutor(cores.count())
        # Slow addresses wait for each other, and for nothing else that a thread does.
        self._fetchers = futures.ThreadPoolExecutor(_MAX_FETCHES)
        options = {"max_batch": config.max_batch, "max_waiting": config.max_waiting}
        self._embedding = batching.Batcher(
            self._embed, on_batch=lambda size: self.on_batch(size), **options
        )
        self._searching = batching.Batcher(self._search, **options)

    def __len__(self) -> int:
        return len(self._embedding)

    def warm(self) -> None:
        """Runs the model and the search once in every size that requests can make of them."""
        blank = np.zeros(self._index.embedder.input_shape, np.uint8)
        most = self._config.max_batch
        sizes = sorted({parallel.bucket(size, at_most=most) for size in range(1, most + 1)})
        for size in progress.track(sizes, total=len(sizes), description="warm", unit="batch size"):
            vectors = self._embed([blank] * size)
            for level in self._levels:
                answers = self._search([_Wanted(vectors[0], level, "")] * size)
                if failed := [answer for answer in answers if isinstance(answer, Exception)]:
                    raise failed[0]

    def close(self) -> None:
        """Answers what still waits, and ends the threads."""
        self._embedding.close()
        self._searching.close()
        self._decoders.shutdown(cancel_futures=True)
        self._fetchers.shutdown(cancel_futures=True)

    @contextlib.contextmanager
    def admission(self) -> Iterator[None]:
        """Holds a place for a request; before its body is read, so that no memory is spent.

        Raises:
            HTTPException: 503 where there is none.
        """
        if self._under_way >= self._config.max_waiting:
            raise _busy()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def search(self, query: intake.Query) -> index.Answer:
        """Returns the answer to a query.

        Raises:
            HTTPException: Where it cannot be answered, with the reason in one line.
        """
        request = query.request
        top_k = request.top_k or self._config.default_top_k
        if top_k > self._config.max_top_k:
            raise HTTPException(422, f"top_k: at most {self._config.max_top_k} results")
        # As many as an answer may have shown; they take no part in the query.
        if len(request.exclude) > self._config.max_top_k:
            raise HTTPException(422, f"exclude: at most {self._config.max_top_k} images")
        where = checked_filter(request.filter)
        try:
            async with asyncio.timeout(self._config.search_timeout):
                vector, asked = await self._query_vector(query)
                asked |= set(request.exclude)
                # Who searches by a stored image knows that one already.
                return await self._answer(_Wanted(vector, top_k, where, asked))
        except TimeoutError as error:
            raise _busy() from error

    def why_nothing(self, filter_text: str | None) -> str:
        """Returns why a search found nothing, in words that name no private field."""
        return self._index.explain_nothing(filter_text, hidden=_PRIVATE_FIELDS)

    async def decode(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs what decodes an image; as many at a time as there are cores."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, function, *arguments)

    def check(self, encoded: bytes) -> None:
        """Refuses what is no still image of a kind that is read, as `intake.check_image`."""
        intake.check_image(encoded, max_pixels=self._config.max_pixels)

    async def _query_vector(self, query: intake.Query) -> tuple[np.ndarray, set[str]]:
        """Returns the vector to search with, and the ids of stored images that made it."""
        request = query.request
        liked = [*([request.id] if request.id else []), *request.ids]
        uploads = list(query.uploads)
        stored_ids = [*liked, *request.unlike]
        count = len(uploads) + bool(request.url) + len(stored_ids)
        if not (uploads or request.url or liked):
            raise HTTPException(422, "send an image, a url, an id or ids to search by")
        if count > self._config.max_query_images:
            raise HTTPException(422, f"at most {self._config.max_query_images} images make a query")
        if request.crop and len(uploads) + bool(request.url) != 1:
            raise HTTPException(422, "crop: takes a region of exactly one image that is sent")
        if request.url:
            uploads.append(await self._fetched(request.url))
        pixels = await asyncio.gather(
            *(self.decode(self._pixels, upload, request.crop) for upload in uploads)
        )
        embedded = await self._batched(self._embedding, pixels)
        if not np.isfinite(embedded).all():
            raise HTTPException(422, "the model makes no finite numbers of this image")
        stored = await asyncio.to_thread(self._stored_vectors, stored_ids)
        near = np.asarray([*embedded, *(stored[id_] for id_ in liked)])
        far = np.asarray([stored[id_] for id_ in request.unlike]).reshape(-1, near.shape[1])
        return queries.combine(near, far), set(stored)

    async def _fetched(self, url: str) -> bytes:
        if not self._config.allow_url_queries:
            raise HTTPException(403, "this server fetches no images; send the image itself")
        read = functools.partial(
            fetch.read_url,
            url,
            max_bytes=int(self._config.max_upload_mb * 1e6),
            timeout=self._config.url_timeout,
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(self._fetchers, read)
        except fetch.RefusedUrl as error:
            raise HTTPException(400, str(error)) from error
        except fetch.FailedFetch as error:
            raise HTTPException(422, str(error)) from error

    async def _batched(self, batcher: batching.Batcher, items: Sequence[Any]) -> list[Any]:
        try:
            waiting = batcher.submit(items)
        except batching.Busy as error:
            raise _busy() from error
        return await asyncio.gather(*map(asyncio.wrap_future, waiting))

    def _pixels(self, encoded: bytes, crop: queries.Box | None) -> np.ndarray:
        """Returns an upload as the network takes it."""
        self.check(encoded)
        try:
            if crop:
                encoded = smaller_images.crop(encoded, crop, max_pixels=self._config.max_pixels)
            return self._index.embedder.preprocess(encoded)
        except smaller_images.EmptyRegion as error:
            raise HTTPException(422, f"crop: {error}") from error
        except errors.CorruptImage as error:
            raise intake.unreadable(error) from error

    def _stored_vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        found = self._index.vectors(list(map(intake.checked_id, ids)))
        for id_ in ids:
            if id_ not in found:
                raise HTTPException(404, f"there is no image with the id {id_}")
        return found

    def _embed(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        size = parallel.bucket(len(pixels), at_most=2 * self._config.max_batch)
        return self._index.embedder.embed(np.stack(pixels), batch_size=size)

    async def _answer(self, wanted: _Wanted) -> index.Answer:
        """Returns the answer to a search, of a batch with others'."""
        try:
            (answer,) = await self._batched(self._searching, [wanted])
        except errors.UsageError as error:
            raise _bad_filter(error) from error
        return answer

    def _search(self, wanted: Sequence[_Wanted]) -> list[index.Answer | Exception]:
        """Returns the answers to a batch; those of one filter and depth are searched together.

        One that fails is its error, so that it fails for nobody else of the batch.
        """
        answers: list[index.Answer | Exception | None] = [None] * len(wanted)
        key = lambda i: (wanted[i].filter, self._level([wanted[i]]))  # noqa: E731
        for (where, _), group in itertools.groupby(sorted(range(len(wanted)), key=key), key):
            rows = list(group)
            try:
                found = self._search_together([wanted[i] for i in rows], where)
            except Exception as error:
                found = [error] * len(rows)
            for i, answer in zip(rows, found, strict=True):
                answers[i] = answer
        return answers

    def _search_together(self, wanted: Sequence[_Wanted], where: str) -> list[index.Answer]:
        """Returns the answers to searches with one filter."""
        exclude = [one.exclude for one in wanted]
        vectors = np.stack([one.vector for one in wanted])
        # Together with what is passed over it is the level, whatever is asked for.
        top_k = self._level(wanted) - max(map(len, exclude))
        found = self._index.search_vectors(vectors, top_k, where or None, exclude=exclude)
        pairs = zip(found, wanted, strict=True)
        return [answer._replace(hits=answer.hits[: one.top_k]) for answer, one in pairs]

    def _level(self, wanted: Sequence[_Wanted]) -> int:
        """Returns how many results to look for, so that few numbers of them are compiled."""
        deepest = max(one.top_k for one in wanted) + max(len(one.exclude) for one in wanted)
        return next(level for level in self._levels if level >= deepest)


def checked_filter(text: str | None) -> str:
    """Returns a filter that can be read and feels for nothing private; "" for none.

    Raises:
        HTTPException: 400, with the place and what was expected there; 422 where it is too long.
    """
    try:
        tree = matching.resolve(text)
    except errors.UsageError as error:
        raise _bad_filter(error) from error
    if tree is None:
        return ""
    if private := matching.field_names(tree) & _PRIVATE_FIELDS:
        raise HTTPException(400, f"filter: {min(private)} cannot be searched by here")
    leaves = matching.leaves(tree)
    compared = sum(len(leaf.values) if isinstance(leaf, tree_lib.In) else 1 for leaf in leaves)
    if compared > _MAX_COMPARISONS:
        raise HTTPException(422, f"filter: at most {_MAX_COMPARISONS} values are compared with")
    return text or ""


def _bad_filter(error: errors.UsageError) -> HTTPException:
    return HTTPException(400, f"filter: {str(error).removeprefix('--filter: ')}")


def _busy() -> HTTPException:
    return HTTPException(503, "the server is busy; try again in a second", {"Retry-After": "1"})
