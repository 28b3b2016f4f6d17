"""A server whose index another model's took the place of says so."""

import simsearch
from tests.index import model
from tests.serve import conftest, live

WITH_KEY = {"X-API-Key": conftest.KEY}


def test_a_server_of_an_older_model_says_what_to_do(photos, embedder, tmp_path, caplog):
    url = conftest.make_index(f"lance:{tmp_path / 'fruits'}", photos, embedder=embedder)
    newer = model.CornerEmbedder(embedder.config, fingerprint="e" * 64)
    image = (photos / "lime" / "01.jpg").read_bytes()
    with live.serving(url, embedder=embedder, api_key=conftest.KEY) as server:
        id_ = server.index.ids()[0]
        with simsearch.Index.open(url, embedder=newer, create=True) as index:
            index.sync(photos)
        replies = [
            server.search(image),
            server.search(id=id_),
            server.ask("/images", form=[("image", ("a.jpg", image))], headers=WITH_KEY),
            server.ask(f"/images/{id_}", method="DELETE", headers=WITH_KEY),
        ]
        paths = ("/info", "/healthz", "/metrics", "/images", "/labels", f"/images/{id_}/thumbnail")
        replies += [server.ask(path) for path in paths]
        said = "the index is now of a model of no version (model eeeeeeeeeeee); restart the server"
        for reply in replies:
            assert (reply.status, reply.json) == (503, {"detail": said})
        assert server.ask("/").status == 200
    assert "Traceback" not in caplog.text
