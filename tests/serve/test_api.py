import concurrent.futures
import threading

import numpy as np
import pytest

from simsearch import parallel
from simsearch.index import answers, nearest
from tests.serve import conftest

PICTURES = ("thumbnail", "large", "metrics")
WITH_KEY = {"X-API-Key": conftest.KEY}


@pytest.fixture(scope="module")
def cherry(photos):
    return (photos / "cherry" / "00.jpg").read_bytes()


def ids(reply):
    assert reply.status == 200, reply.body
    return [hit["id"] for hit in reply.json["hits"]]


def id_of(server, path):
    return server.index.ids(f"path = '{path}'")[0]


def same(reply, answer):
    assert ids(reply) == [hit.id for hit in answer.hits]
    scores = [hit["score"] for hit in reply.json["hits"]]
    # Another batch size sums in another order.
    np.testing.assert_allclose(scores, [hit.score for hit in answer.hits], atol=1e-4)


def test_an_upload_finds_what_the_python_interface_finds(server, cherry):
    reply = server.search(cherry, top_k=5)
    same(reply, server.index.search(cherry, top_k=5))
    best = reply.json["hits"][0]
    assert (best["label"], best["path"]) == ("cherry", "cherry/00.jpg")
    assert best["score"] == pytest.approx(1, abs=1e-4)
    assert reply.json["is_match"] is True and reply.json["took_ms"] > 0
    assert len(ids(server.search(cherry))) == 8


def test_stored_images_are_searched_by_id_averaged_and_turned_away_from(server, cherry):
    a, b, c = (id_of(server, f"cherry/{n}.jpg") for n in ("00", "03", "06"))
    index = server.index
    same(server.search(id=a, top_k=4), index.search(f"id:{a}", top_k=4))
    same(server.search(ids=[a, b], top_k=4), index.search([f"id:{a}", f"id:{b}"], top_k=4))
    expected = index.search([f"id:{a}"], unlike=[f"id:{c}"], top_k=4)
    same(server.search(id=a, unlike=[c], top_k=4), expected)
    expected = index.search([cherry, f"id:{b}"], unlike=[f"id:{c}"], top_k=4)
    same(server.search(cherry, ids=[b], unlike=[c], top_k=4), expected)
    assert not {a, b} & set(ids(server.search(ids=[a, b], top_k=30)))
    assert c not in ids(server.search(id=a, unlike=[c], top_k=30))


def test_a_match_is_one_of_the_images_that_are_shown(server, cherry, monkeypatch):
    id_ = id_of(server, "cherry/00.jpg")
    reply = server.search(id=id_, filter="path = 'cherry/00.jpg'").json
    assert (reply["hits"], reply["is_match"]) == ([], False)
    best = server.search(id=id_).json["hits"][0]["score"]
    judge = answers.Judge(conftest.CALIBRATION, (1 + best) / 2)
    monkeypatch.setattr(server.index, "_judge", judge)
    assert server.search(cherry).json["is_match"] is True
    assert server.search(id=id_).json["is_match"] is False
    monkeypatch.setattr(server.index, "_judge", judge._replace(threshold=best))
    assert server.search(id=id_).json["is_match"] is True


def test_stored_images_of_a_query_are_read_together(server, monkeypatch):
    stored, asked = [id_of(server, f"cherry/{n}.jpg") for n in ("00", "03", "06")], []
    real = server.index._rows.vectors
    monkeypatch.setattr(server.index._rows, "vectors", lambda ids: asked.append(ids) or real(ids))
    assert server.search(ids=stored[:2], unlike=stored[2:]).status == 200
    assert asked == [stored]
    reply = server.search(ids=[stored[0], "0" * 32])
    assert reply.status == 404 and reply.json["detail"].endswith(f"with the id {'0' * 32}")


def test_as_many_images_are_passed_over_as_one_answer_may_have_shown(server, cherry):
    first = ids(server.search(cherry, top_k=20))
    rest = ids(server.search(cherry, exclude=first, top_k=20))
    assert len(rest) == 4 and not set(first) & set(rest)
    none = [f"{i:032x}" for i in range(101)]
    query = {"ids": first[:16], "top_k": 100}
    assert len(ids(server.search(**query, exclude=none[:100]))) == 8
    reply = server.search(**query, exclude=none)
    assert (reply.status, reply.json["detail"]) == (422, "exclude: at most 100 images")


def test_a_region_is_cut_out_of_the_upload(server, cherry):
    box = (0.1, 0.2, 0.5, 0.5)
    expected = server.index.search(cherry, crop=box, top_k=6)
    same(server.search(cherry, crop="0.1,0.2,0.5,0.5", top_k=6), expected)
    whole = [hit["score"] for hit in server.search(cherry, top_k=6).json["hits"]]
    assert [hit.score for hit in expected.hits] != pytest.approx(whole, abs=1e-4)
    for wrong in ("500,0,9,9", "a,b,c,d", "0,0,1", "0,0,0,0"):
        reply = server.search(cherry, crop=wrong)
        assert reply.status == 422 and reply.json["detail"].startswith("crop"), reply.body
    assert server.search(id=id_of(server, "cherry/00.jpg"), crop=box).status == 422
    two = [("image", ("a.jpg", cherry)), ("image", ("b.jpg", cherry)), ("crop", "0,0,1,1")]
    reply = server.ask("/search", form=two)
    assert reply.status == 422 and "exactly one image" in reply.json["detail"]


def test_a_filter_decides_what_may_be_found(server, cherry):
    reply = server.search(cherry, filter="label in ('lime', 'plum''s')", top_k=30)
    assert {hit["label"] for hit in reply.json["hits"]} == {"lime", "plum's"}
    assert len(ids(reply)) == 16
    assert ids(server.search(cherry, filter="label = 'none'")) == []
    reply = server.search(cherry, filter="label = ")
    assert reply.status == 400 and reply.json["detail"].startswith("filter: expected a")
    assert "--filter" not in reply.json["detail"]


def test_a_filter_cannot_feel_for_the_place_of_the_images(server, cherry):
    for text in ("source > '/a'", "label = 'x' or not (source = '/')"):
        reply = server.search(cherry, filter=text)
        assert reply.status == 400 and "source cannot be searched by" in reply.json["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "send an image, a url, an id or ids"),
        ({"unlike": []}, "send an image, a url, an id or ids"),
        ({"id": "x", "colour": "red"}, "colour"),
        ({"ids": "x"}, "ids"),
        ({"id": "x", "top_k": 0}, "top_k"),
        ({"id": "x", "top_k": 101}, "top_k: at most 100"),
        ({"ids": ["0" * 32] * 17}, "at most 16 images"),
        ({"id": "x", "crop": [1, 2]}, "crop"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(server, body, words):
    reply = server.search(**body)
    assert reply.status == 422 and words in reply.json["detail"]
    assert "\n" not in reply.json["detail"] and list(reply.json) == ["detail"]


def test_other_content_and_other_fields_are_refused(server):
    plain = server.ask("/search", method="POST", headers={"Content-Type": "text/plain"})
    assert plain.status == 415 and "multipart/form-data" in plain.json["detail"]
    assert server.ask("/search", form=[("picture", "x")]).status == 422
    assert server.ask("/search", form=[("image", "not a file")]).status == 422
    for part in ("ids", "x"), ("image", ("a.png", b"x")):
        assert server.ask("/search", form=[part] * 301).status == 400
    broken = {"Content-Type": "multipart/form-data"}
    assert server.ask("/search", method="POST", headers=broken).status in (400, 422)
    assert [server.ask(f"/images?limit={limit}").status for limit in (0, 101)] == [422, 422]


def test_some_images_are_those_that_pass_a_filter(server):
    some = server.ask("/images?limit=100&filter=label%20%3D%20'lime'").json["images"]
    assert {image["label"] for image in some} == {"lime"} and len(some) == 8
    for where in ("label%20like%20'a'", "source%20%3D%20'a'"):
        assert server.ask(f"/images?filter={where}").status == 400
    nothing = server.ask("/images?filter=lable%20%3D%20'lime'").json
    assert nothing["images"] == [] and "did you mean label?" in nothing["note"]
    assert server.ask("/images").json["note"] is None


def test_the_page_is_told_what_answers(server):
    info = server.ask("/info").json
    assert info["num_images"] == 24 and info["backbone"] == "resnet18"
    assert info["version"] is None and info["embedding_size"] == 12
    assert (info["engine"], info["index"]) == ("LanceDB", "fruits")
    assert info["fingerprint"] == server.index.info.fingerprint
    assert info["limits"] == {
        "max_upload_mb": 1.0,
        "max_top_k": 100,
        "max_query_images": 16,
        "url_queries": False,
        "changes": True,
    }
    labels = {entry["label"]: entry["count"] for entry in server.ask("/labels").json["labels"]}
    assert labels == {"cherry": 8, "lime": 8, "plum's": 8}
    sample = server.ask("/images?limit=6").json["images"]
    assert len({image["id"] for image in sample}) == 6
    assert {image["label"] for image in sample} == set(labels)


def test_pictures_are_jpegs_that_a_browser_may_keep(server, cherry):
    id_ = id_of(server, "cherry/00.jpg")
    for name in ("thumbnail", "large"):
        reply = server.ask(f"/images/{id_}/{name}")
        assert reply.status == 200 and reply.headers["content-type"] == "image/jpeg"
        assert reply.headers["cache-control"] == "private, no-cache"
        assert reply.body[:3] == b"\xff\xd8\xff"
        again = server.ask(
            f"/images/{id_}/{name}", headers={"If-None-Match": reply.headers["etag"]}
        )
        assert again.status == 304 and again.body == b""
    known = server.ask(f"/images/{id_}").json
    assert known == {"id": id_, "label": "cherry", "path": "cherry/00.jpg", "metadata": {}}


def test_images_are_added_found_and_deleted_with_the_key(server):
    image = conftest.encoded(conftest.draw((10, 20, 30), 77))
    before = server.ask("/info").json["num_images"]
    form = [("image", ("night.png", image)), ("label", "night")]
    added = server.ask("/images", form=form, headers=WITH_KEY)
    assert added.status == 201
    (id_,) = added.json["ids"]
    assert ids(server.search(image, top_k=1)) == [id_]
    stored = server.ask(f"/images/{id_}").json
    assert (stored["label"], stored["path"]) == ("night", "night.png")
    assert server.ask(f"/images/{id_}/large").status == 200
    assert {"label": "night", "count": 1} in server.ask("/labels").json["labels"]
    assert server.ask("/info").json["num_images"] == before + 1
    bearer = {"Authorization": f"Bearer {conftest.KEY}"}
    gone = server.ask(f"/images/{id_}", method="DELETE", headers=bearer)
    assert (gone.status, gone.json) == (200, {"removed": 1})
    assert server.ask(f"/images/{id_}").status == 404
    assert id_ not in ids(server.search(image, top_k=30))
    assert server.ask(f"/images/{id_}", method="DELETE", headers=WITH_KEY).status == 404


def test_each_of_several_images_has_its_own_label_and_path(server):
    images = [conftest.encoded(conftest.draw((10, 20 * i, 30), 80 + i)) for i in range(3)]
    said = [("day", "far/a.png"), ("night", "b" * 400), ("dawn", "c.png")]
    form = [("image", ("x.png", image)) for image in images]
    form += [pair for label, path in said for pair in (("label", label), ("path", path))]
    added = server.ask("/images", form=form, headers=WITH_KEY).json["ids"]
    for id_, image, (label, path) in zip(added, images, said, strict=True):
        (hit,) = server.search(image, top_k=1).json["hits"]
        assert (hit["id"], hit["label"], hit["path"]) == (id_, label, path[:300])
        assert server.ask(f"/images/{id_}", method="DELETE", headers=WITH_KEY).status == 200


def test_of_several_images_with_one_broken_none_is_added(server, cherry):
    form = [("image", ("a.png", cherry + b"x")), ("image", ("b.png", cherry[:300]))]
    reply = server.ask("/images", form=form, headers=WITH_KEY)
    assert reply.status == 422 and server.index.count() == 24
    form = [("image", ("a.png", cherry)), ("label", "a"), ("label", "b")]
    assert server.ask("/images", form=form, headers=WITH_KEY).status == 422
    form = [("image", ("a.png", cherry)), ("image", ("b.png", cherry)), ("path", "one for both")]
    assert server.ask("/images", form=form, headers=WITH_KEY).status == 422
    assert server.index.count() == 24


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"these are notes", 415, "this is no image that is read"),
        (b"\x89PNG\r\n\x1a\n", 422, "the image cannot be read"),
        (conftest.encoded(conftest.draw((9, 9, 9), 1))[:300], 422, "the image cannot be read"),
    ],
)
def test_which_of_several_images_is_bad_is_said(server, cherry, content, status, words):
    bad = ("/srv/photos/" + "long " * 30 + ".png", content)
    form = [("image", ("good.jpg", cherry)), ("image", bad), ("image", ("last.png", content))]
    reply = server.ask("/images", form=form, headers=WITH_KEY)
    detail = reply.json["detail"]
    assert reply.status == status and detail.startswith("long long ") and words in detail
    assert "srv" not in detail and "last.png" not in detail and len(detail.split(": ")[0]) == 60
    assert server.index.count() == 24


def test_requests_that_wait_together_share_a_forward_pass(server, cherry, monkeypatch):
    real, sizes = server.index.embedder.embed, []
    has_begun, may_go_on = threading.Event(), threading.Event()

    def slow(images, *, batch_size=None):
        sizes.append((len(images), batch_size))
        has_begun.set()
        assert may_go_on.wait(10)
        return real(images, batch_size=batch_size)

    monkeypatch.setattr(server.index.embedder, "embed", slow)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(server.search, cherry, top_k=1)
        assert has_begun.wait(10)
        others = [pool.submit(server.search, cherry, top_k=1) for _ in range(7)]
        while len(server.service.searcher) < 7:
            pass
        may_go_on.set()
        found = {ids(one.result())[0] for one in [first, *others]}
    assert found == {id_of(server, "cherry/00.jpg")}
    assert sizes == [(1, 1), (4, 4), (3, 4)]
    text = server.ask("/metrics").body.decode()
    assert "simsearch_batch_images_count" in text and "simsearch_images 24.0" in text
    assert 'simsearch_requests_total{method="POST",route="/search",status="200"}' in text


def test_every_path_that_answers_is_counted_under_its_own_name(server):
    for path in ("/openapi.json", "/docs", "/page/app.js", "/labels", "/no/such/path"):
        server.ask(path)
    text = server.ask("/metrics").body.decode()
    counted = 'simsearch_requests_total{method="GET",route="%s",status="200"}'
    for route in ("/openapi.json", "/docs", "/page", "/labels"):
        assert counted % route in text
    assert counted % "unknown" not in text and 'route="unknown",status="404"' in text
    assert "app.js" not in text and "such" not in text
    assert "_created" not in text


def test_an_answer_says_what_its_threshold_lets_through(server, cherry, monkeypatch):
    answer = server.search(cherry, top_k=1).json
    assert answer["threshold"] is None and answer["false_match_rate"] is None
    monkeypatch.setattr(server.index, "_judge", answers.Judge(conftest.CALIBRATION, 0.998))
    answer = server.search(cherry, top_k=1).json
    rate = server.index.embedder.config.eval.false_match_rate
    assert (answer["threshold"], answer["false_match_rate"]) == (0.998, rate)
    assert (answer["is_rough"], answer["doubt"]) == (False, None)
    doubted = answers.Judge(conftest.CALIBRATION, 0.998, "do not trust the threshold")
    monkeypatch.setattr(server.index, "_judge", doubted)
    answer = server.search(cherry, top_k=1).json
    assert (answer["is_rough"], answer["doubt"]) == (True, "do not trust the threshold")


def test_nothing_is_compiled_after_the_warming_up(server, cherry, monkeypatch):
    real, sizes = server.index.embedder.embed, set()

    def noting(images, *, batch_size=None):
        # As an `Embedder` pads them.
        sizes.add(parallel.bucket(len(images), at_most=batch_size, multiple=2))
        return real(images, batch_size=batch_size)

    monkeypatch.setattr(server.index.embedder, "embed", noting)
    server.service.searcher.warm()
    assert sizes == {2, 4}
    searches = nearest.top_k._cache_size()
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        requests = [pool.submit(server.search, cherry, top_k=1 + i) for i in range(0, 40, 3)]
        assert all(one.result().status == 200 for one in requests)
    assert sizes == {2, 4} and nearest.top_k._cache_size() == searches


def test_a_full_server_says_when_to_come_again(server, cherry, monkeypatch):
    monkeypatch.setattr(server.service.searcher, "_under_way", 256)
    reply = server.search(cherry)
    assert reply.status == 503 and reply.headers["retry-after"] == "1"
    assert server.ask("/healthz").json == {"status": "ok", "num_images": 24}
    assert [server.ask(path, method="HEAD").status for path in ("/", "/healthz")] == [200, 200]
    assert server.ask("/images", form=[("image", ("a", cherry))], headers=WITH_KEY).status == 503
    monkeypatch.undo()
    assert server.search(cherry).status == 200


def test_a_stopping_server_is_not_healthy(server, monkeypatch):
    monkeypatch.setattr(server.service, "is_stopping", True)
    reply = server.ask("/healthz")
    assert (reply.status, reply.json["status"]) == (503, "stopping")


def test_the_api_is_described_with_types(server):
    described = server.ask("/openapi.json").json
    paths = described["paths"]
    assert set(paths) == {
        "/search", "/info", "/labels", "/images", "/images/{id}", "/images/{id}/thumbnail",
        "/images/{id}/large", "/healthz", "/metrics",
    }  # fmt: skip
    body = paths["/search"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert "top_k" in body["application/json"]["schema"]["properties"]
    for path, methods in paths.items():
        for operation in methods.values():
            assert operation["description"], path
            assert " " in operation["summary"] and len(operation["tags"]) == 1, path
            assert set(operation["tags"]) < {tag["name"] for tag in described["tags"]}, path
            for status, answer in operation["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
                if int(status) >= 400 and (path, status) != ("/healthz", "503"):
                    assert schema["$ref"].endswith("/Problem"), (path, status)
                elif int(status) < 300 and path.split("/")[-1] not in PICTURES:
                    assert "$ref" in schema, path
    assert {"APIKeyHeader", "HTTPBearer"} <= set(described["components"]["securitySchemes"])
