"""The shapes of requests and answers, as OpenAPI tells them."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from simsearch.index import queries

Value = str | float | int | bool | None
Share = Annotated[float, Field(ge=0, le=1)]


def _region(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Says one sentence of all four numbers, rather than which of them is none or missing."""
    try:
        return handler(value)
    except ValidationError as error:
        if all(problem["type"] == "finite_number" for problem in error.errors()):
            raise
        raise PydanticCustomError("region", queries.REGION_FORM) from error


Region = Annotated[
    tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat], WrapValidator(_region)
]
ImageId = Annotated[str, Field(examples=["5f0c1c9ed94ebfa0a1f0e2b9d3c47a18"])]
FILTER = "Which images may be found, such as `label = 'cookie' and not (path > 'm')`."
CROP = (
    "Region of the query image: left, top, width, height, as fractions of the upright image where "
    "none is above 1, otherwise in its pixels."
)


class Problem(BaseModel):
    """Why a request was not met, in one line."""

    detail: str


class StoredImage(BaseModel):
    """An image of the index."""

    id: ImageId
    label: str = Field(description="Its class; empty where nobody said.")
    path: str = Field(description="Below the indexed folder, or the name that it was added under.")
    metadata: dict[str, Value] = Field(description="Further columns by name.")


class Hit(StoredImage):
    """One answer to a search."""

    score: float = Field(description="Cosine with the query, -1 to 1.")
    probability: Share | None = Field(
        description="That it is of the query's class; null where the model is not calibrated."
    )


class SearchRequest(BaseModel):
    """A query: an address, stored images, or both; several are averaged."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(None, description="http or https; only if the server allows it.")
    id: ImageId | None = Field(None, description="A stored image to search by.")
    ids: list[ImageId] = Field([], description="More stored images to search by, averaged.")
    unlike: list[ImageId] = Field([], description="Stored images that results should differ from.")
    exclude: list[ImageId] = Field(
        [], description="Stored images that are no results, beside those of the query."
    )
    crop: Region | None = Field(None, description=CROP)
    filter: str | None = Field(None, description=FILTER)
    top_k: int | None = Field(None, ge=1, description="Number of results, if not the usual one.")


class SearchAnswer(BaseModel):
    """What a search found."""

    hits: list[Hit] = Field(description="Most similar first.")
    is_match: bool = Field(description="False where even the best score is under the threshold.")
    threshold: float | None = Field(
        description="Calibrated score of the least similarity; null where not calibrated."
    )
    false_match_rate: Share | None = Field(
        description="Share of the validation pairs of different classes that the threshold was "
        "set to let through at most; null where not calibrated."
    )
    is_rough: bool = Field(
        description="Whether the threshold is of too few validation pairs to be trusted."
    )
    doubt: str | None = Field(
        description="Why the threshold, or the probabilities too, are not to be trusted; null "
        "where they are."
    )
    note: str | None = Field(description="Why nothing was found; null where something was.")
    took_ms: float = Field(description="Milliseconds from request to answer.")


class Images(BaseModel):
    """Some images of the index."""

    images: list[StoredImage]
    note: str | None = Field(description="Why there are none; null where there are some.")


class Added(BaseModel):
    """The new images, in the order that they were sent; they are stored when this is read."""

    ids: list[ImageId]


class Removed(BaseModel):
    """How many images were deleted; they are gone when this is read."""

    removed: int


class LabelCount(BaseModel):
    """A label, and how many images have it."""

    label: str
    count: int


class Labels(BaseModel):
    """All labels of the index, the most frequent first."""

    labels: list[LabelCount]


class Limits(BaseModel):
    """What a request may ask for."""

    max_upload_mb: float
    max_top_k: int
    max_query_images: int
    url_queries: bool
    changes: bool = Field(description="Whether images can be added and deleted with a key.")


class Info(BaseModel):
    """Which model and which index answer."""

    version: int | None = Field(description="Of the model.")
    backbone: str
    fingerprint: str = Field(description="Of the model's weights.")
    embedding_size: int
    engine: str
    index: str = Field(description="Its name.")
    num_images: int
    limits: Limits


class Health(BaseModel):
    """Whether the server takes requests."""

    status: str
    num_images: int
