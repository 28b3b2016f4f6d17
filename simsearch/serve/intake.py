"""From a request to what it asks, and from bytes to pixels: everything a stranger sends."""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pydantic
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from simsearch import errors
from simsearch.data.decoding import formats
from simsearch.data.decoding import images as images_lib
from simsearch.serve import models

READ = "JPEG, PNG, WebP, BMP, TIFF, PNM or a GIF that does not move"
_ID = re.compile(r"[0-9a-f]{32}")
_FORM, _JSON = "multipart/form-data", "application/json"
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"ascii")
_MAX_JSON_BYTES = 2**16  # What is wrong is told for each of its parts, and takes far more memory.
_TEXT_FIELDS = ("url", "id", "crop", "filter", "top_k")
_LIST_FIELDS = ("ids", "unlike", "exclude")
_ADD_FIELDS = ("label", "path")
_MAX_FIELDS = 300
_MAX_LETTERS = 300  # Of a path or a label.
_SHORT = 60  # Letters of a file's name in a message.


class Query(NamedTuple):
    """What a search asks for: uploads and the rest of it."""

    uploads: list[bytes]
    request: models.SearchRequest


class Upload(NamedTuple):
    """A file to add, under the name that it came with."""

    name: str
    encoded: bytes

    @property
    def short_name(self) -> str:
        """The end of its name, in a few letters that can stand in a line."""
        name = "".join(letter for letter in self.name.split("/")[-1] if letter.isprintable())
        return name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…"


class Addition(NamedTuple):
    """Images to add, with what is known of them."""

    uploads: list[Upload]
    labels: list[str]
    paths: list[str]


def silence_parser() -> None:
    """Keeps the forms' parser from warning of broken bodies: anybody may send them, and is told."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


async def read_query(request: Request) -> Query:
    """Returns what a search asks for, sent as a form or as JSON.

    Raises:
        HTTPException: 415 or 422, with what is wrong in one line.
    """
    kind = _kind(request)
    if kind == _JSON:
        body = await request.body()
        if len(body) > _MAX_JSON_BYTES:
            raise HTTPException(413, f"JSON may have {_MAX_JSON_BYTES} bytes; send images as forms")
        return Query([], _checked(models.SearchRequest.model_validate_json, body))
    if kind != _FORM:
        raise HTTPException(415, f"send {_FORM} with an image, or {_JSON}")
    async with request.form(max_files=_MAX_FIELDS, max_fields=_MAX_FIELDS) as form:
        values = _form_values(form)
        uploads = [upload.encoded for upload in await _uploads(form)]
    return Query(uploads, _checked(models.SearchRequest.model_validate, values))


async def read_addition(request: Request) -> Addition:
    """Returns the images that a form brings.

    Raises:
        HTTPException: 415 or 422, with what is wrong in one line.
    """
    if _kind(request) != _FORM:
        raise HTTPException(415, f"send {_FORM} with one or several files named image")
    async with request.form(max_files=_MAX_FIELDS, max_fields=_MAX_FIELDS) as form:
        _check_names(form, _ADD_FIELDS)
        uploads = await _uploads(form)
        labels, paths = _texts(form, "label"), _texts(form, "path")
    if not uploads:
        raise HTTPException(422, "send one or several files named image")
    for name, values in (("label", labels), ("path", paths)):
        if len(values) not in (0, 1, len(uploads)) or (
            name == "path" and len(values) == 1 < len(uploads)
        ):
            raise HTTPException(
                422, f"{len(uploads)} images came with {len(values)} fields named {name}"
            )
    if any(len(label) > _MAX_LETTERS for label in labels):
        raise HTTPException(422, f"label: at most {_MAX_LETTERS} characters")
    if len(labels) == 1:
        labels *= len(uploads)
    return Addition(uploads, labels, [_safe_path(path) for path in paths])


def _kind(request: Request) -> str:
    """Returns the media type of a request's body; its text must be UTF-8.

    Another charset would be a codec of Python's that the client chooses: some fail with no
    `UnicodeError`, some make text that cannot be stored.

    Raises:
        HTTPException: 415 where another charset is named.
    """
    # As Starlette reads it, so that both see the same.
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if options.get(b"charset", _CHARSETS[0]).lower() not in _CHARSETS:
        raise HTTPException(415, "send text as UTF-8")
    return kind.decode("latin-1").strip().lower()


def checked_id(id_: str) -> str:
    """Returns an id that has the form of one; it is never part of a path or of a filter's text.

    Raises:
        HTTPException: 404, since nothing else can be stored under it.
    """
    if not _ID.fullmatch(id_):
        raise HTTPException(404, "there is no image with this id")
    return id_


def check_image(encoded: bytes, *, max_pixels: int) -> None:
    """Checks that bytes are one still image of a kind that is read, by content and not by name.

    Raises:
        HTTPException: 415 for another kind, 422 for one that cannot be decoded.
    """
    if not encoded:
        raise HTTPException(422, "the image is empty")
    if not formats.sniff(encoded):
        start = encoded[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
            raise HTTPException(415, "SVG is not read; save it as PNG")
        raise HTTPException(415, f"this is no image that is read; send {READ}")
    try:
        moves = images_lib.is_animated(encoded, max_pixels=max_pixels)
    except errors.CorruptImage as error:
        raise unreadable(error) from error
    if moves:
        raise HTTPException(415, f"the image is animated; send one frame of it: {READ}")


def unreadable(error: Exception) -> HTTPException:
    """Returns the answer to an image that cannot be decoded."""
    return HTTPException(422, f"the image cannot be read: {error}")


def of_upload(upload: Upload, problem: HTTPException) -> HTTPException:
    """Returns a problem with an image that says which of the files that came it is."""
    return HTTPException(problem.status_code, f"{upload.short_name}: {problem.detail}")


def _form_values(form: FormData) -> dict[str, Any]:
    _check_names(form, (*_TEXT_FIELDS, *_LIST_FIELDS))
    values: dict[str, Any] = {name: _texts(form, name) for name in _LIST_FIELDS}
    for name in _TEXT_FIELDS:
        texts = _texts(form, name)
        if len(texts) > 1:
            raise HTTPException(422, f"{name} came {len(texts)} times; it is one value")
        if texts and texts[0]:
            values[name] = texts[0].split(",") if name == "crop" else texts[0]
    return values


def _check_names(form: FormData, names: Sequence[str]) -> None:
    """Refuses a form with another field than the images and those named: it would be lost."""
    for name in form:
        if name not in ("image", *names):
            raise HTTPException(422, f"there is no field {name[:40]!r}; the API's page lists them")


def _texts(form: FormData, name: str) -> list[str]:
    values = form.getlist(name)
    if not all(isinstance(value, str) for value in values):
        raise HTTPException(422, f"{name} must be a text, not a file")
    return values


async def _uploads(form: FormData) -> list[Upload]:
    files = form.getlist("image")
    if not all(isinstance(file, UploadFile) for file in files):
        raise HTTPException(422, "image must be a file, sent with a file name")
    return [Upload(_safe_path(file.filename or "image"), await file.read()) for file in files]


def _safe_path(path: str) -> str:
    """Returns a name to show: no folders above, no control characters, never opened as a file."""
    parts = re.sub(r"[\x00-\x1f\x7f]", "", path).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:_MAX_LETTERS] or "image"


def _checked(validate: Callable[[Any], models.SearchRequest], values: Any) -> models.SearchRequest:
    try:
        return validate(values)
    except pydantic.ValidationError as error:
        raise HTTPException(422, one_line(error.errors())) from error


def one_line(problems: list[dict[str, Any]]) -> str:
    """Returns what a validation found, in one line."""
    parts = []
    for problem in problems[:3]:
        place = ".".join(str(part) for part in problem["loc"] if part not in ("body", "query"))
        parts.append(f"{place}: {problem['msg']}" if place else problem["msg"])
    return "; ".join(parts)[:300]
