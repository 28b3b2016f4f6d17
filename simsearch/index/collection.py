"""The Index: a collection of images that is kept up to date and searched by any image."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from simsearch import progress as progress_lib
from simsearch.index import answers, explanation, files, incoming, model, opening, queries, sync
from simsearch.index import metadata as metadata_lib
from simsearch.index import rows as rows_lib
from simsearch.index import takeover as takeover_lib
from simsearch.index.filters import matching
from simsearch.index.record import Answer, Found, Hit, Info, SyncReport, Value
from simsearch.retrieval import embed

# Images that are looked at to say why a filter let nothing through.
_NUM_EXPLAINED = 1_000


class Index:
    """Images with their embeddings in a store, open for searches and changes.

    Threads may share it. Other processes may have the same index open; their changes are seen.
    """

    def __init__(self, opened: opening.Opened) -> None:
        """Takes over open rows; `open` is how to get an index."""
        self.embedder = opened.embedder
        self._about = opened.about
        self._takeover = opened.takeover
        self._judge = opened.judge
        self._rows = opened.rows

    @classmethod
    def open(
        cls,
        url: str = "lance:./index",
        *,
        version: int | None = None,
        workdir: str | os.PathLike = "runs",
        embedder: embed.Embedder | None = None,
        create: bool = False,
        overrides: Mapping[str, Any] | None = None,
    ) -> Index:
        """Opens an index.

        Args:
            url: `lance:PATH` or `milvus:http://HOST:PORT[/COLLECTION]`.
            version: Of the model; None: the one that the index was made by, and the newest for a
                new index.
            workdir: Folder of the versions.
            embedder: The model itself, in place of a version.
            create: Whether to make the index where there is none. Where there is one of another
                model, a new one grows beside it and takes its place when `sync` has finished.
            overrides: Fields of the version's configuration to change, such as
                {"index.exact_limit": 0}.

        Raises:
            UsageError: Where there is no such index, engine or version, or the index was made by
                another model.
            RunError: Where the engine does not answer.
        """
        opened = opening.open_rows(
            url,
            version=version,
            workdir=workdir,
            embedder=embedder,
            create=create,
            overrides=overrides,
        )
        return cls(opened)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.count()

    def close(self) -> None:
        """Lets go of the store; whatever is asked of it afterwards is a UsageError."""
        self._rows.close()

    @property
    def info(self) -> Info:
        """What this index is."""
        about = self._about
        return Info(
            url=self._rows.engine.url,
            engine=self._rows.engine.name,
            version=about.version,
            fingerprint=about.fingerprint,
            backbone=about.backbone,
            embedding_size=about.embedding_size,
            is_exact=self._rows.is_exact,
            replaces=model.named(self._takeover.old) if self._takeover else None,
        )

    def successor(self) -> model.About | None:
        """Returns what took the place of this index since it was opened; None: nothing did."""
        return takeover_lib.successor(self._rows.engine, self._about)

    def sync(
        self,
        images_dir: str | os.PathLike,
        *,
        labels_csv: str | os.PathLike | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SyncReport:
        """Makes the index hold what a folder holds.

        New files are added, changed ones replaced, vanished ones deleted; files of the same size
        and time are not opened. Images of other folders and those that `add` brought stay.

        Args:
            images_dir: The folder; its class folders are labels.
            labels_csv: Label and metadata by path, as `metadata.read_csv` reads it.
            progress: Called with the files done and the files there are to embed.

        Raises:
            UsageError: Where the folder or the CSV file is not there, or holds no images, or the
                index of another model, whose place this one takes, holds images of elsewhere.
        """
        root = files.root_of(images_dir)
        inherited = {}
        if self._takeover is not None:
            self._takeover.check(self._rows.engine, root)
            inherited = self._takeover.records(root)
        labels = None if labels_csv is None else metadata_lib.read_csv(labels_csv)
        report = sync.run(
            self._rows,
            self.embedder,
            root=root,
            labels=labels,
            inherited=inherited,
            on_progress=progress,
        )
        self._rows.optimize()
        if self._takeover is not None:
            self._takeover.finish(self._rows.engine, root)
            self._takeover = None
        self._rows.choose()
        self._rows.index(report.added + report.replaced + report.deleted)
        return report

    def add(
        self,
        images: queries.Given | Iterable[queries.Given],
        *,
        labels: Sequence[str | None] | None = None,
        paths: Sequence[str | os.PathLike | None] | None = None,
        metadata: Sequence[Mapping[str, Value] | None] | None = None,
    ) -> list[str]:
        """Adds images that belong to no folder and returns their ids; searches see them at once.

        An image with the same content as one that was added before takes its place.

        Args:
            images: Paths, encoded bytes, or what else `queries.as_list` takes; or a single one.
            labels: Class of each; None: none.
            paths: Name of each; None: the file's name, or the id.
            metadata: Further columns of each.

        Raises:
            CorruptImage: Where one cannot be read; none is added then.
            UsageError: Where a file is not there, a label is no text, metadata cannot be stored, or
                there are more or fewer labels than images.
        """
        rows = incoming.rows(
            queries.as_list(images), self.embedder, labels=labels, paths=paths, metadata=metadata
        )
        was_exact = self._rows.is_exact
        self._rows.upsert(list({row.record.id: row for row in rows}.values()))
        if was_exact and not self._rows.is_exact:
            progress_lib.log.warning(
                "the index has more than index.exact_limit=%d images now: searches read all of its "
                "table until --mode=index has built an index of it",
                self.embedder.config.index.exact_limit,
            )
        return [row.record.id for row in rows]

    def remove(self, ids: str | Sequence[str]) -> int:
        """Removes images by id and returns how many there were; no search finds them any more."""
        return self._rows.delete(list(dict.fromkeys([ids] if isinstance(ids, str) else ids)))

    def search(
        self,
        query: queries.Given | Iterable[queries.Given],
        *,
        top_k: int = 8,
        filter: matching.Where = None,  # noqa: A002 - the word that users know
        crop: queries.Box | None = None,
        unlike: queries.Given | Iterable[queries.Given] = (),
    ) -> Answer:
        """Returns the images most similar to a query, or to several on average.

        Stored images among the queries are no results themselves.

        Args:
            query: A path, encoded bytes, "id:…" of a stored image, or what else `queries.as_list`
                takes; or a list of them.
            top_k: Results at most.
            filter: Which images to search, such as "label = 'cookie' and price < 3"; see
                `filters.parser.parse`.
            crop: Region x, y, width, height of the one query: fractions of the upright image where
                none is above 1, pixels otherwise.
            unlike: What the results should be less like, in the same forms as `query`.

        Raises:
            UsageError: Where a query, `top_k`, the filter or the region cannot be understood.
            CorruptImage: Where a query is no readable image.
        """
        liked, unliked = queries.as_list(query), queries.as_list(unlike)
        where, top_k = matching.resolve(filter), rows_lib.checked_top_k(top_k)
        vector = queries.vector(
            liked, unliked, crop=crop, embedder=self.embedder, stored=self._rows.vectors
        )
        asked = set(queries.stored_ids([*liked, *unliked]))
        (answer,) = self.search_vectors(vector[None], top_k, where, exclude=[asked])
        return answer

    def embed_queries(self, images: queries.Given | Iterable[queries.Given]) -> np.ndarray:
        """Returns the embeddings of query images, float32 [N, D].

        Args:
            images: Paths, encoded bytes, or what else `queries.as_list` takes; or a single one.

        Raises:
            UsageError: Where a file is not there.
            CorruptImage: Where one cannot be read.
        """
        listed = queries.as_list(images)
        encoded = [queries.read(image) for image in listed]
        return queries.embed_encoded(self.embedder, encoded, names=queries.names(listed))

    def search_vectors(
        self,
        vectors: np.ndarray,
        top_k: int,
        filter: matching.Where = None,  # noqa: A002 - as in `search`
        *,
        exclude: Sequence[Collection[str]] = (),
    ) -> list[Answer]:
        """Returns the answer to each of several queries that are already embedded.

        Args:
            vectors: L2-normalised, float32 [Q, D].
            top_k: Results of each at most.
            filter: Which images to search; None: all.
            exclude: Ids that are no results, for each query; empty: none for any.
        """
        most = rows_lib.checked_top_k(top_k) + max(map(len, exclude), default=0)
        found = self._rows.nearest(vectors, top_k=most, where=matching.resolve(filter))
        return [
            self._judge.answer([each for each in near if each.record.id not in ids][:top_k])
            for near, ids in zip(found, exclude or [()] * len(found), strict=True)
        ]

    def get(self, id_: str) -> Hit | None:
        """Returns a stored image as a hit of score 1; None where there is none with that id."""
        record = self._rows.get(id_)
        return None if record is None else answers.hit(Found(record, 1.0), None)

    def vector(self, id_: str) -> np.ndarray | None:
        """Returns the embedding of a stored image, float32 [D]; None where there is none."""
        return self.vectors([id_]).get(id_)

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns the embeddings of those ids that are there, float32 [D]."""
        return self._rows.vectors(ids)

    def thumbnail(self, id_: str) -> bytes | None:
        """Returns the JPEG thumbnail of a stored image; None where there is none with that id."""
        return self._rows.engine.thumbnails([id_]).get(id_)

    def file_of(self, id_: str) -> pathlib.Path | None:
        """Returns the file that a stored image was read from; None where there is none any more."""
        return self._rows.file_of(id_)

    def sample(
        self,
        limit: int,
        *,
        filter: matching.Where = None,  # noqa: A002 - as in `search`
    ) -> list[Hit]:
        """Returns some of the stored images that pass a filter, as hits of score 1."""
        found = self._rows.sample(limit, where=matching.resolve(filter))
        return [answers.hit(Found(record, 1.0), None) for record in found]

    def count(self, filter: matching.Where = None) -> int:  # noqa: A002 - as in `search`
        """Returns how many images pass a filter; None: how many there are."""
        return self._rows.count(matching.resolve(filter))

    def explain_nothing(
        self,
        filter: matching.Where = None,  # noqa: A002 - as in `search`
        *,
        hidden: Collection[str] = (),
    ) -> str:
        """Returns why a search found nothing, in words that name no hidden field."""
        sample, where = self._rows.sample(_NUM_EXPLAINED), matching.resolve(filter)
        counts = {"count": self._rows.count(None), "passing": self._rows.count(where)}
        return explanation.of_nothing(where, sample, **counts, hidden=hidden)

    def ids(self, filter: matching.Where = None) -> list[str]:  # noqa: A002 - as in `search`
        """Returns the ids of all images that pass a filter, sorted."""
        return sorted(record.id for record in self._rows.records(matching.resolve(filter)))

    def labels(self) -> dict[str, int]:
        """Returns how many images each label has, by name; images without a label are left out."""
        counts = self._rows.labels()
        del counts[""]
        return dict(sorted(counts.items()))
