"""Makes an index hold what a folder holds: reads, embeds and writes only what changed."""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from simsearch import cores, errors, progress, wording
from simsearch.index import files, incoming, queries, reading
from simsearch.index.filters import tree as tree_lib
from simsearch.index.incoming import Loaded
from simsearch.index.metadata import Labels
from simsearch.index.reading import Unread
from simsearch.index.record import Record, Row, SyncReport, new_revision
from simsearch.index.rows import Rows
from simsearch.retrieval import embed as embed_lib

# What is embedded is written after so many images or seconds, whichever comes first: that much is
# done again after a kill.
_WRITE_ROWS = 512
_WRITE_SECONDS = 10.0
_READ_ROWS = 500


def run(
    rows: Rows,
    embedder: embed_lib.Embedder,
    *,
    root: str,
    labels: Mapping[str, Labels] | None,
    inherited: Mapping[str, Record],
    on_progress: Callable[[int, int], None] | None = None,
) -> SyncReport:
    """Brings the index up to date with a folder and returns what changed.

    Rows go in whole, with the state of their files: killed anywhere, the next run goes on.

    Args:
        rows: What the index holds.
        embedder: What reads and embeds images.
        root: The folder, as `files.root_of` names it.
        labels: Label and metadata by path; None: labels from class folders, and the metadata that
            a row has stays.
        inherited: By id what an index says whose place this one takes: label and metadata of images
            that are new here.
        on_progress: Called with the files done and the files there are.
    """
    start = time.perf_counter()
    of_root = tree_lib.Compare("source", "=", root)
    stored = {r.id: r for batch in rows.engine.scan(of_root) for r in batch.records}
    found = files.find(root)
    _check_labels(labels or {}, found)
    plan = files.plan(found, stored)
    rows.delete(plan.vanished)
    changed, same = _told_apart(plan.suspects)
    relabelled = _relabelled(same, plan.untouched, found, labels)
    _rewrite(relabelled, rows)
    unread: dict[str, Unread] = {}
    todo = [*plan.new, *changed]
    written = _embed_all(
        todo,
        rows,
        embedder,
        root=root,
        stored={**inherited, **stored},
        labels=labels,
        unread=unread,
        on_progress=on_progress,
    )
    bad = [file for file in changed if file.path in unread]
    # A row whose file the disk would not give keeps what it says: its metadata is nowhere else.
    lost = [file.id for file in bad if not unread[file.path].may_pass]
    rows.delete(lost)
    kept = [_labelled(stored[f.id], f, labels) for f in bad if unread[f.path].may_pass]
    _rewrite([record for record in kept if record != stored[record.id]], rows)
    _check_inherited([file for file in plan.new if file.id in inherited], unread)
    seconds = time.perf_counter() - start
    said_anew = sum(_said(record) != _said(stored[record.id]) for record in relabelled)
    return SyncReport(
        added=sum(file.path not in unread for file in plan.new),
        replaced=len(changed) - len(bad) + said_anew,
        deleted=len(plan.vanished) + len(lost),
        untouched=len(plan.untouched) + len(same) - said_anew,
        unreadable=[(path, why.reason) for path, why in unread.items()],
        images_per_second=written / seconds,
    )


def _check_labels(labels: Mapping[str, Labels], found: Sequence[files.File]) -> None:
    strangers = sorted(labels.keys() - {file.path for file in found})
    if strangers and len(strangers) == len(labels):
        raise errors.UsageError(
            f"the table names none of the {wording.counted(len(found), 'image')} in the folder, "
            f"but {wording.listed(strangers)}; paths in it are below the folder, such as "
            f"{found[0].path}"
        )
    if strangers:
        progress.log.warning(
            "the table has %s of no image in the folder: %s",
            wording.counted(len(strangers), "row"),
            wording.listed(strangers),
        )


def _check_inherited(new: Sequence[files.File], unread: Mapping[str, Unread]) -> None:
    """Raises RunError where the index whose place this one takes knows more than the disk gives."""
    waiting = [file.path for file in new if file.path in unread and unread[file.path].may_pass]
    if waiting:
        raise errors.RunError(
            f"{wording.counted(len(waiting), 'image')} of the index whose place this one takes "
            f"{unread[waiting[0]].reason}: {wording.listed(waiting)}; the old one stays and goes "
            "on answering; run this again when they can be read, or remove them"
        )


def _told_apart(
    suspects: Sequence[tuple[files.File, Record]],
) -> tuple[list[files.File], list[tuple[files.File, Record]]]:
    """Returns the files with another content than their rows, and the others with their rows."""
    changed, same = [], []
    for file, record in suspects:
        try:
            with open(file.on_disk, "rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            content = ""  # Reading it again says why.
        if content == record.content:
            same.append((file, record))
        else:
            changed.append(file)
    return changed, same


def _relabelled(
    same: Sequence[tuple[files.File, Record]],
    untouched: Sequence[Record],
    found: Sequence[files.File],
    labels: Mapping[str, Labels] | None,
) -> list[Record]:
    """Returns the records that change without their images."""
    by_id = {file.id: file for file in found}
    records = []
    for file, record in same:
        stamped = record._replace(size=file.size, modified_ns=file.modified_ns)
        records.append(_labelled(stamped, file, labels))
    if labels is not None:
        for record in untouched:
            new = _labelled(record, by_id[record.id], labels)
            if new != record:
                records.append(new)
    return records


def _labelled(record: Record, file: files.File, labels: Mapping[str, Labels] | None) -> Record:
    if labels is None:
        return record
    said = labels.get(file.path, Labels("", {}))
    return record._replace(label=said.label or file.label, metadata=dict(said.metadata))


def _said(record: Record) -> tuple[Any, ...]:
    return record.label, record.metadata


def _rewrite(records: Sequence[Record], rows: Rows) -> None:
    """Writes records in place of those with the same ids, with the vectors that are there."""
    for start in range(0, len(records), _READ_ROWS):
        part = {record.id: record for record in records[start : start + _READ_ROWS]}
        batch = rows.engine.get(list(part), vectors=True)
        thumbnails = rows.engine.thumbnails(list(part))
        rows.upsert(
            [
                Row(part[old.id]._replace(revision=new_revision()), vector, thumbnails[old.id])
                for old, vector in zip(batch.records, batch.vectors, strict=True)
                if old.id in thumbnails  # Otherwise another process has just deleted it.
            ]
        )


def _embed_all(
    todo: Sequence[files.File],
    rows: Rows,
    embedder: embed_lib.Embedder,
    *,
    root: str,
    stored: Mapping[str, Record],
    labels: Mapping[str, Labels] | None,
    unread: dict[str, Unread],
    on_progress: Callable[[int, int], None] | None,
) -> int:
    """Embeds and writes files, and returns how many."""
    waiting: list[Row] = []
    written, last_write = 0, time.monotonic()
    bar = progress.bar(total=len(todo), description="index", unit="image")
    config = embedder.config
    batch_size = config.eval.batch_size
    # A few images are computed as few; of many the last as all before, which are compiled already.
    padded_to = batch_size if len(todo) > batch_size else None
    load = functools.partial(incoming.load, embedder=embedder)
    num_threads = config.data.num_threads or cores.count()
    with bar, reading.Reader(load, ahead=3 * batch_size, num_threads=num_threads) as reader:
        for group in reading.chunks(reader.loaded(todo), batch_size):
            good = [(file, loaded) for file, loaded in group if isinstance(loaded, Loaded)]
            unread.update((file.path, why) for file, why in group if isinstance(why, Unread))
            if good:
                pixels = np.stack([loaded.pixels for _, loaded in good])
                vectors = embedder.embed(pixels, batch_size=padded_to)
                queries.check(vectors, [file.path for file, _ in good])
                for (file, loaded), vector in zip(good, vectors, strict=True):
                    record = _record(root, file, loaded.content, stored.get(file.id))
                    record = _labelled(record, file, labels)
                    waiting.append(Row(record, vector, loaded.thumbnail))
            is_due = time.monotonic() - last_write > _WRITE_SECONDS
            if len(waiting) >= _WRITE_ROWS or (waiting and is_due):
                rows.upsert(waiting)
                written, last_write = written + len(waiting), time.monotonic()
                waiting = []
            bar.update(len(group))
            if on_progress:
                on_progress(int(bar.n), len(todo))
        rows.upsert(waiting)
    return written + len(waiting)


def _record(root: str, file: files.File, content: str, old: Record | None) -> Record:
    return Record(
        id=file.id,
        path=file.path,
        label=file.label if old is None else old.label,
        metadata={} if old is None else old.metadata,
        source=root,
        size=file.size,
        modified_ns=file.modified_ns,
        content=content,
        revision=new_revision(),
    )
