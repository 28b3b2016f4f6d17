"""Stored pictures as answers: a browser keeps each, and asks whether it is still the same."""

import hashlib
from typing import Any

import fastapi
from fastapi.responses import Response

_KIND = "image/jpeg"
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {_KIND: {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "As it was"},
}


def answer(request: fastapi.Request, picture: bytes) -> Response:
    """Returns a picture, or that it is the one that the client has: it may have been replaced.

    Args:
        request: What asks for it.
        picture: A JPEG.
    """
    headers = {
        "ETag": f'"{hashlib.sha256(picture).hexdigest()[:32]}"',
        "Cache-Control": "private, no-cache",
    }
    known = ",".join(request.headers.getlist("if-none-match"))
    if _is_among(headers["ETag"], known):
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type=_KIND, headers=headers)


def _is_among(tag: str, known: str) -> bool:
    """Returns whether a tag is among those of an `If-None-Match`.

    A tag is weak once a proxy has packed what it stands for; the picture in it is the same.
    """
    tags = [one.strip().removeprefix("W/") for one in known.split(",")]
    return tag in tags or tags == ["*"]
