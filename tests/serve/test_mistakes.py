"""What a client gets wrong is told to it in one line, and never counted as the server's failure."""

import asyncio
import contextlib
import copy
import dataclasses
import io
import socket
import threading
import types

import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from simsearch import errors
from simsearch.data import fetch
from simsearch.index import Answer
from simsearch.serve import intake, models
from simsearch.serve import searcher as searcher_lib
from simsearch.serve import service as service_lib
from tests.index import model
from tests.serve import conftest, live

WITH_KEY = {"X-API-Key": conftest.KEY}


@pytest.fixture(scope="module")
def plum(photos):
    return (photos / "plum's" / "02.jpg").read_bytes()


def test_a_filter_compares_with_so_many_values_and_no_more(server, plum):
    many = ", ".join(map(repr, map(str, range(199))))
    allowed = f"label in ({many}) or label = 'lime'"
    assert len(server.search(plum, filter=allowed).json["hits"]) == 8
    for longer in (f"{allowed} or size > 3", f"not label in ({many}, 'a', 'b')"):
        reply = server.search(plum, filter=longer)
        assert reply.status == 422 and "at most 200 values" in reply.json["detail"]


def test_a_mistyped_field_is_told_where_nothing_is_found(server, plum):
    reply = server.search(plum, filter="lable = 'lime'")
    assert reply.json["hits"] == [] and "did you mean label?" in reply.json["note"]
    assert server.search(plum).json["note"] is None


def test_a_query_of_which_the_model_makes_no_numbers_is_refused(server, plum, monkeypatch):
    embedder = server.index.embedder
    real = embedder.embed
    monkeypatch.setattr(
        embedder, "embed", lambda *given, **options: real(*given, **options) * float("nan")
    )
    reply = server.search(plum)
    assert reply.status == 422 and "no finite numbers" in reply.json["detail"], reply.body


def test_a_region_of_no_numbers_is_refused(server, plum):
    for strange in ("nan", "inf", "-inf", "1e999"):
        reply = server.search(plum, crop=f"0,0,{strange},1")
        assert reply.status == 422 and "finite number" in reply.json["detail"], reply.body
    for strange in (float("nan"), float("inf")):
        reply = server.search(id=server.index.ids()[0], crop=[0, 0, strange, 1])
        assert reply.status == 422 and "finite number" in reply.json["detail"], reply.body


@pytest.mark.parametrize("region", ["1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4", ","])
def test_a_region_of_another_form_is_told_which_it_should_have(server, plum, region):
    parts = region.split(",")
    for reply in (server.search(plum, crop=region), server.search(id="0" * 32, crop=parts)):
        assert (reply.status, reply.json["detail"]) == (
            422,
            "crop: must be x,y,width,height in pixels, or as fractions up to 1",
        )
    assert server.search(plum, crop="0, 0, 0.5,0.5").status == 200


def test_a_label_is_as_long_as_a_path_may_be(server, plum):
    def add(*labels):
        images = [("image", (f"{i}.jpg", plum)) for i in range(len(labels))]
        form = images + [("label", label) for label in labels]
        return server.ask("/images", form=form, headers=WITH_KEY)

    for labels in (["é" * 301], ["fine", "x" * 100_000]):
        reply = add(*labels)
        assert (reply.status, reply.json["detail"]) == (422, "label: at most 300 characters")
    assert server.index.count() == 24
    (id_,) = add("é" * 300).json["ids"]
    assert server.index.get(id_).label == "é" * 300
    assert server.ask(f"/images/{id_}", method="DELETE", headers=WITH_KEY).status == 200


@pytest.mark.parametrize("name", ["crop", "filter", "top_k", "id", "ids", "unlike", "url"])
def test_a_file_in_the_place_of_a_text_is_refused(server, plum, name):
    form = [("image", ("a.jpg", plum)), (name, ("b.txt", b"0,0,1,1"))]
    reply = server.ask("/search", form=form)
    assert (reply.status, reply.json["detail"]) == (422, f"{name} must be a text, not a file")


@pytest.mark.parametrize("name", ["label", "path"])
def test_a_file_is_no_label_and_no_path(server, plum, name):
    form = [("image", ("a.jpg", plum)), (name, ("b.txt", b"plum"))]
    reply = server.ask("/images", form=form, headers=WITH_KEY)
    assert (reply.status, reply.json["detail"]) == (422, f"{name} must be a text, not a file")
    assert server.index.count() == 24


def test_a_field_that_would_be_lost_is_refused(server, plum):
    image = ("image", ("a.jpg", plum))
    reply = server.ask("/images", form=[image, ("lable", "plum")], headers=WITH_KEY)
    detail = "there is no field 'lable'; the API's page lists them"
    assert (reply.status, reply.json["detail"]) == (422, detail)
    assert server.index.count() == 24
    for name, value in {"top_k": "3", "filter": "size > 0", "crop": "0,0,1,1"}.items():
        reply = server.ask("/search", form=[image, (name, value), (name, value)])
        assert (reply.status, reply.json["detail"]) == (
            422,
            f"{name} came 2 times; it is one value",
        )
        assert server.ask("/search", form=[image, (name, value)]).status == 200


def counted(server):
    text = server.ask("/metrics").body.decode()
    return {line for line in text.splitlines() if line.startswith("simsearch_requests_total")}


def test_a_client_that_goes_away_amid_its_upload_is_no_failure(server, caplog):
    for kind, start in (("application/json", "{"), ("multipart/form-data; boundary=b", "--b")):
        with socket.create_connection((live.HOST, server.port), timeout=10) as connection:
            head = (
                f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                f"Content-Length: 100\r\n\r\n{start}"
            )
            connection.sendall(head.encode())
    line = 'simsearch_requests_total{method="POST",route="/search",status="499"} 2.0'
    model.wait_until(lambda: line in counted(server))
    assert not caplog.records


def test_methods_that_nobody_knows_are_counted_as_one(server):
    for method in ("BREW", "BREW2", "get"):
        assert server.ask("/labels", method=method).status == 405
    methods = {line.partition('method="')[2].partition('"')[0] for line in counted(server)}
    assert "other" in methods and not methods & {"BREW", "BREW2", "get"}


def test_an_image_whose_file_may_not_be_looked_at_is_shown_small(server, monkeypatch):
    id_ = server.index.ids()[0]

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server.index, "file_of", refuse)
    large, small = (server.ask(f"/images/{id_}/{name}") for name in ("large", "thumbnail"))
    assert large.status == 200 and large.body == small.body


def test_a_large_view_is_drawn_anew_without_what_a_file_says_of_its_place(
    server, monkeypatch, tmp_path
):
    id_, file = server.index.ids()[0], tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"  # A part of GPS.
    Image.new("RGB", (2000, 1000)).save(file, exif=exif)
    monkeypatch.setattr(server.index, "file_of", lambda _: file)
    drawn = Image.open(io.BytesIO(server.ask(f"/images/{id_}/large").body))
    assert drawn.size == (1600, 800) and not drawn.getexif()
    file.write_bytes(file.read_bytes()[:300])
    large, small = (server.ask(f"/images/{id_}/{name}") for name in ("large", "thumbnail"))
    assert large.status == 200 and large.body == small.body


def service_over(server, **serve):
    """Returns a service over a server's index, with fields of its group `serve` changed."""
    config = dataclasses.replace(server.service.config, **serve)
    return contextlib.closing(service_lib.Service(server.index, config=config))


def searched(service, **query):
    """Returns the answer to a query, or the status and the words of its refusal."""
    request = models.SearchRequest(**query)
    try:
        found = service.searcher.search(intake.Query([], request))
        return asyncio.run(asyncio.wait_for(found, 20))
    except HTTPException as error:
        return error.status_code, error.detail


def test_an_address_is_read_within_its_own_limits_and_is_an_image_of_the_query(
    server, plum, monkeypatch
):
    asked = []
    monkeypatch.setattr(fetch, "read_url", lambda url, **limits: asked.append(limits) or plum)
    fields = {"allow_url_queries": True, "url_timeout": 3.5, "max_query_images": 2}
    ids = server.index.ids()[:2]
    with service_over(server, **fields) as service:
        assert searched(service, url="http://example.org/a", ids=ids[:1]).hits
        assert asked == [{"max_bytes": 1_000_000, "timeout": 3.5}]
        refusal = searched(service, url="http://example.org/a", ids=ids)
    assert refusal == (422, "at most 2 images make a query") and len(asked) == 1


def test_a_search_has_the_usual_number_of_results_and_its_time(server, monkeypatch):
    async def never(_):
        await asyncio.Event().wait()

    id_ = server.index.ids()[0]
    with service_over(server, default_top_k=3) as service:
        assert len(searched(service, id=id_).hits) == 3
    with service_over(server, search_timeout=0.05) as service:
        monkeypatch.setattr(service.searcher, "_answer", never)
        assert searched(service, id=id_) == (503, "the server is busy; try again in a second")


def test_a_service_that_is_closed_leaves_no_thread(server):
    before = set(threading.enumerate())
    with service_over(server) as service:
        assert searched(service, id=server.index.ids()[0]).hits
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) <= before


def test_what_fails_before_the_port_opens_is_not_passed_over(server, monkeypatch):
    def fail(*_, **__):
        raise errors.RunError("the engine does not answer")

    monkeypatch.setattr(server.index, "search_vectors", fail)
    with pytest.raises(errors.RunError, match="does not answer"):
        server.service.searcher.warm()


def test_labels_that_many_ask_for_at_once_are_counted_once(server, monkeypatch):
    real, counts = server.index.labels, []

    def labels():
        counts.append(1)
        return real()

    async def ask(service):
        return await asyncio.gather(*(service.labels() for _ in range(5)))

    monkeypatch.setattr(server.index, "labels", labels)
    with service_over(server) as service:
        answers = asyncio.run(ask(service))
    assert len(counts) == 1 and all(len(answer.labels) == 3 for answer in answers)


def test_labels_are_counted_anew_after_a_change_and_after_a_while(server, monkeypatch):
    counts, now = {"lime": 1, "apple": 1, "plum": 3}, [100.0]
    monkeypatch.setattr(server.index, "labels", lambda: dict(counts))
    monkeypatch.setattr(server.index, "remove", len)
    monkeypatch.setattr(service_lib, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    async def ask(service):
        found = []
        for seconds, is_removed in ((0, False), (19, False), (2, False), (0, True)):
            now[0] += seconds
            if is_removed:
                await service.remove("0" * 32)
            found.append([(each.label, each.count) for each in (await service.labels()).labels])
            counts["plum"] -= 1
        return found

    with service_over(server) as service:
        found = asyncio.run(ask(service))
    others = [("apple", 1), ("lime", 1)]
    assert found[0] == [("plum", 3), *others], "the most frequent first"
    assert found[1:] == [found[0], [*others, ("plum", 1)], [*others, ("plum", 0)]]


def test_counting_images_does_not_hold_up_other_requests(server, monkeypatch):
    real = server.index.count

    def count(*_):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return real()

    monkeypatch.setattr(server.index, "count", count)
    for path in ("/healthz", "/metrics", "/info"):
        assert server.ask(path).status == 200


def test_addresses_that_are_slow_hold_up_nothing_else(server, plum, monkeypatch):
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def slow(*_, **__):
        asked.release()
        assert may_answer.wait(10)
        return plum

    monkeypatch.setattr("simsearch.data.fetch.read_url", slow)
    with live.serving(
        server.index.info.url, embedder=server.index.embedder, allow_url_queries=True
    ) as fetching:
        replies = []

        def ask():
            replies.append(fetching.search(url="http://example.org/a", top_k=1))

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        assert asked.acquire(timeout=10)
        model.wait_until(lambda: fetching.service.searcher._under_way == 40)
        assert fetching.ask("/healthz").status == 200
        assert fetching.search(id=fetching.index.ids()[0]).status == 200
        assert sum(asked.acquire(blocking=False) for _ in range(40)) < 8, "each holds a whole body"
        may_answer.set()
        for thread in threads:
            thread.join()
    assert [reply.status for reply in replies] == [200] * 40


def test_a_field_that_is_refused_is_not_suggested(server, plum):
    for name in ("sources", "soruce"):
        note = server.search(plum, filter=f"{name} is not null").json["note"]
        assert note.startswith(f"no image has a field {name}; ") and "size" in note
        assert "source" not in note.replace(name, "")


def test_nots_without_end_are_answered_whatever_searches(server, plum):
    config = dataclasses.replace(server.index.embedder.config.index, exact_limit=0)
    embedder = copy.copy(server.index.embedder)
    embedder.config = dataclasses.replace(embedder.config, index=config)
    some = {
        "not " * 48 + "label = 'lime'": 8,
        "not " * 49 + "label = 'lime'": 16,
        "not (size = 1 or " * 16 + "label = 'lime'" + ")" * 16: 8,
    }
    deep = "(size = 1 or (size = 2 and " * 9 + "size = 3" + "))" * 9
    with live.serving(server.index.info.url, embedder=embedder) as approximate:
        assert not approximate.index.info.is_exact
        for one in (server, approximate):
            for text, count in some.items():
                assert len(one.search(plum, filter=text, top_k=30).json["hits"]) == count, text
            reply = one.search(plum, filter=deep)
            assert reply.status == 400 and reply.json["detail"].startswith("filter: `and` and `or`")


def test_a_filter_that_an_engine_refuses_fails_for_nobody_else(server, monkeypatch):
    searcher, real = server.service.searcher, server.index.search_vectors

    def search_vectors(vectors, top_k, filter=None, **options):  # noqa: A002 - as in the index
        if filter == "size = 1":
            raise errors.UsageError("--filter: the engine cannot read it")
        if filter == "size = 2":
            raise RuntimeError("the engine fails")
        return real(vectors, top_k, filter, **options)

    monkeypatch.setattr(server.index, "search_vectors", search_vectors)
    id_ = server.index.ids()[0]
    vector = server.index.vector(id_)
    texts = ["size = 1", "", "size = 2", "size > 0", "size = 1"]
    answers = searcher._search([searcher_lib._Wanted(vector, 8, text) for text in texts])
    assert [type(answer) for answer in answers] == [
        errors.UsageError, Answer, RuntimeError, Answer, errors.UsageError
    ]  # fmt: skip
    assert answers[1].hits and answers[3].hits
    reply = server.search(id=id_, filter="size = 1")
    assert (reply.status, reply.json["detail"]) == (400, "filter: the engine cannot read it")
    assert server.search(id=id_, filter="size = 3").status == 200


def test_a_deep_search_makes_no_other_deep(server, monkeypatch):
    searcher, real, asked = server.service.searcher, server.index.search_vectors, []

    def search_vectors(vectors, top_k, *rest, **options):
        asked.append((len(vectors), top_k))
        return real(vectors, top_k, *rest, **options)

    monkeypatch.setattr(server.index, "search_vectors", search_vectors)
    vector = server.index.vector(server.index.ids()[0])
    few, most = searcher._levels
    wanted = [searcher_lib._Wanted(vector, top_k, "") for top_k in (2, most, 3)]
    answers = searcher._search(wanted)
    assert sorted(asked) == [(1, most), (2, few)]
    assert [len(answer.hits) for answer in answers] == [2, len(server.index), 3]


def test_an_index_that_cannot_be_written_refuses_in_one_line(server, plum, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("lance error: LanceError(IO): No space left on device (os error 28)")

    table = server.index._rows.engine._table
    monkeypatch.setattr(type(table), "merge_insert", fail)
    monkeypatch.setattr(type(table), "delete", fail)
    words = "the index refuses this at the moment; the server's own messages say why"
    id_ = server.index.ids()[0]
    for reply in (
        server.ask("/images", form=[("image", ("a.jpg", plum))], headers=WITH_KEY),
        server.ask(f"/images/{id_}", method="DELETE", headers=WITH_KEY),
    ):
        assert (reply.status, reply.json) == (503, {"detail": words})
    assert caplog.text.count("is full; free some of it") == 2
    assert "Traceback" not in caplog.text
    assert server.search(id=id_).status == 200
