"""What reports need of a record, decoded straight from an answer's bytes: in a fifth of the time of a whole record.

Only what is exactly as documented is decoded so; any other page is read as whole records are, as leniently and with the
same errors.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pp_mcp.models.records import Assignment, PublicId


class Facts(BaseModel):
    """Some fields of a record, without those nobody documented. `whole` is the record's own model."""

    model_config = ConfigDict(extra="ignore", from_attributes=True, allow_inf_nan=False, hide_input_in_errors=True)
    whole: ClassVar[type[BaseModel]]

    @classmethod
    def page_in(cls, body: bytes) -> dict[str, Any] | None:
        """The rows and figures of a list as `read_page` takes them; None where they are not as documented."""
        try:
            found = _envelope(cls).model_validate_json(body)
        except ValidationError:
            return None
        return {"data": found.data, "meta": found.meta}

    @classmethod
    def of(cls, record: BaseModel) -> Self:
        """The facts of a whole record."""
        return cls.model_validate(record)


T = TypeVar("T", bound=Facts)


class _Envelope(BaseModel, Generic[T]):
    # Ids hardly come twice: kept for all that follow, they would only take room.
    model_config = ConfigDict(cache_strings="keys")

    data: list[T]
    meta: dict[str, Any]


@cache
def _envelope(kind: type[T]) -> type[_Envelope[T]]:
    return _Envelope[kind]


class _Named(Facts):
    public_id: PublicId
    name: str


class PersonFacts(_Named):
    """Who has an assignment."""

    email: str | None = None


class ContentFacts(_Named):
    """What is assigned."""

    content_type: str


class AssignmentFacts(Facts):
    """What is counted of an assignment; its fields are those of `Assignment`."""

    whole = Assignment

    public_id: PublicId
    user: PersonFacts
    content_item: ContentFacts
    state: str
    progress: float | None = None
    due_date: str | None = None
    is_overdue: bool | None = None
    completed_datetime: str | None = None
