"""`--mode=search`: the images of an index that are most similar to a query."""

import json as json_lib
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from simsearch import errors, progress
from simsearch.commands import shared
from simsearch.data import fetch
from simsearch.data.decoding import smaller_images
from simsearch.index import Answer, Hit, Index, queries
from simsearch.index.filters import matching

_MAX_BYTES = 64 * 2**20
_TIMEOUT_SECONDS = 30.0


def main(
    *,
    query: Sequence[str],
    version: int | None,
    workdir: str,
    index: str,
    top_k: int,
    filter: str | None,  # noqa: A002 - the name of the flag
    crop: Sequence[str] | None,
    output: str | None,
    json: bool,
    overrides: Mapping[str, Any],
) -> Answer:
    """Searches an index and prints a table of what is most similar, or JSON.

    Args:
        query: Path, http(s) URL, "-" for standard input or "id:…"; several are averaged.
        version: That the index must be of; None: its own.
        workdir: Folder of the versions.
        index: URL of the index.
        top_k: Results at most.
        filter: Which images to search.
        crop: x, y, width, height of the one query's region.
        output: PNG to draw the query and the results to.
        json: Whether JSON is printed in place of the table.
        overrides: Fields of the version's configuration that make no other model of it.

    Raises:
        UsageError: Where a query, filter, region, index or version is not there or not readable.
        RunError: Where a URL does not answer with an image.
    """
    if not query:
        raise errors.UsageError(
            "--mode=search needs --query=FILE, an http(s) URL, - for standard input or id:…"
        )
    if output:
        shared.check_output(output)
    where, box = matching.resolve(filter), _box(crop)
    read = [_read(each) for each in query]
    with Index.open(index, version=version, workdir=workdir, overrides=overrides) as opened:
        try:
            answer = opened.search(read, top_k=top_k, filter=where, crop=box)
        except errors.CorruptImage as error:
            named = query[0] if len(query) == 1 else ", ".join(query)
            raise errors.UsageError(f"--query={named} must be an image: {error}") from error
        note = None if answer.hits else opened.explain_nothing(where)
        rate = opened.embedder.config.eval.false_match_rate
        if json:
            text = _to_json(answer, query, opened, note=note, false_match_rate=rate)
        elif note:
            text = f"nothing found: {note}"
        else:
            text = table(answer, num_queries=len(read), false_match_rate=rate)
        progress.log.info("%s", text)
        if output:
            path = _draw(output, answer, read, query, box, opened)
            if not json:
                progress.log.info("picture: %s", path)
    return answer


def _box(crop: Sequence[str] | None) -> queries.Box | None:
    if not crop:
        return None
    try:
        left, top, width, height = map(float, crop)
    except ValueError as error:
        raise errors.UsageError(f"--crop={','.join(crop)} {queries.REGION_FORM}") from error
    return left, top, width, height


def _read(query: str) -> queries.Query:
    """Returns a query as the index takes it: what has no path is read here."""
    if query == "-":
        encoded = sys.stdin.buffer.read(_MAX_BYTES + 1)
        if len(encoded) > _MAX_BYTES:
            raise errors.UsageError(
                f"--query=-: standard input has more than {_MAX_BYTES // 2**20} MiB"
            )
        return encoded
    if query.lower().startswith(("http://", "https://")):
        return fetch.read_url(
            query, max_bytes=_MAX_BYTES, timeout=_TIMEOUT_SECONDS, allow_private=True
        )
    if query.startswith("id:"):
        return query
    # Read before the model is loaded: a mistyped path is told at once.
    return queries.read(query)


def table(answer: Answer, *, num_queries: int = 1, false_match_rate: float) -> str:
    """Returns an answer as lines of text, a result each, and says so where nothing is similar.

    Args:
        answer: With a hit at least.
        num_queries: Queries whose average was searched with.
        false_match_rate: Share of the pairs of different classes that reach the threshold.
    """
    lines = []
    if not answer.is_match:
        average = f" of {num_queries} queries on average" if num_queries > 1 else ""
        lines.append(
            f"nothing similar here: the best score{average}, {answer.hits[0].score:.3f}, is under "
            f"{answer.threshold:.3f}, which at most {100 * false_match_rate:.3g} % of the "
            "validation pairs of different classes reach; the nearest all the same:"
        )
    labels = max(len("label"), *(len(hit.label) for hit in answer.hits))
    lines.append(f"rank   score  probability  {'label':{labels}}  path")
    for rank, hit in enumerate(answer.hits, 1):
        chance = "-" if hit.probability is None else f"{100 * hit.probability:.1f} %"
        lines.append(f"{rank:4}  {hit.score:6.3f}  {chance:>11}  {hit.label:{labels}}  {hit.path}")
    under = sum(_is_weak(hit, answer) for hit in answer.hits)
    if answer.is_match and under:
        lines.append(
            f"under the threshold of {answer.threshold:.3f}: the last "
            f"{'image' if under == 1 else f'{under} images'}"
        )
    if answer.doubt:
        lines.append(answer.doubt)
    return "\n".join(lines)


def _is_weak(hit: Hit, answer: Answer) -> bool:
    return answer.threshold is not None and hit.score < answer.threshold


def _to_json(
    answer: Answer,
    query: Sequence[str],
    opened: Index,
    *,
    note: str | None,
    false_match_rate: float,
) -> str:
    values = {
        "query": list(query),
        "index": opened.info.url,
        "version": opened.info.version,
        "is_match": answer.is_match,
        "threshold": answer.threshold,
        "false_match_rate": None if answer.threshold is None else false_match_rate,
        "is_rough": answer.is_rough,
        "doubt": answer.doubt,
        "hits": [{"rank": rank} | hit._asdict() for rank, hit in enumerate(answer.hits, 1)],
        "note": note,
    }
    return json_lib.dumps(values, indent=2, ensure_ascii=False)


def _draw(
    output: str,
    answer: Answer,
    read: Sequence[queries.Query],
    query: Sequence[str],
    box: queries.Box | None,
    opened: Index,
) -> pathlib.Path:
    # matplotlib takes a second to import, and only pictures need it.
    from simsearch.plots import neighbors, style

    results = [
        neighbors.Result(
            image=_stored_image(hit.id, opened),
            score=hit.score,
            caption=hit.label or hit.path,
            probability=hit.probability,
            is_weak=_is_weak(hit, answer),
        )
        for hit in answer.hits
    ]
    more = f" and {len(query) - 1} more" if len(query) > 1 else ""
    caption = f"{len(query)} on average" if more else os.path.basename(query[0])
    shown = style.mosaic([_query_image(each, box, opened) for each in read])
    path = pathlib.Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    nothing = "nothing similar here" if answer.hits else "nothing found"
    title = f"most similar to {query[0]}{more}" if answer.is_match else nothing
    if answer.is_match and any(result.is_weak for result in results):
        title += f"; pale: under the threshold of {answer.threshold:.3f}"
    return neighbors.draw(path, neighbors.Row(shown, caption, results), title=title)


def _query_image(query: queries.Query, box: queries.Box | None, opened: Index) -> Any:
    if isinstance(query, str) and query.startswith("id:"):
        return _stored_image(query.removeprefix("id:"), opened)
    max_pixels = opened.embedder.config.data.max_pixels

    def shown() -> bytes:
        encoded = queries.read(query)
        return encoded if box is None else queries.cropped(encoded, box, max_pixels=max_pixels)

    return smaller_images.display(shown, max_pixels=max_pixels)


def _stored_image(id_: str, opened: Index) -> Any:
    # It may have been deleted since it was found.
    max_pixels = opened.embedder.config.data.max_pixels
    return smaller_images.display(lambda: opened.thumbnail(id_) or b"", max_pixels=max_pixels)
