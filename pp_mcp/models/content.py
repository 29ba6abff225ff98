"""Content items of all types, articles among them."""

from typing import Annotated

from pydantic import AliasChoices, ConfigDict, Field

from pp_mcp.models.groups import GroupRef
from pp_mcp.models.record import Named, Reference


class ContentRef(Named):
    """A content item as an assignment names it."""

    content_type: str = ""


class ContentItem(Named):
    """The summary the API gives of any content item (documented). `content_type` is an open set."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    content_type: str = ""
    description: str | None = None
    is_archived: bool | None = None
    is_hidden: bool | None = None
    is_completable: bool | None = None
    is_self_assignable: bool | None = None
    duration_minutes: int | float | None = Field(
        default=None, validation_alias=AliasChoices("duration_minutes", "duration")
    )
    """Minutes. Answers say `duration_minutes`, requests `duration` (both documented): either is read."""
    avg_feedback_rating: float | None = None
    total_assignments: int | None = None
    completed_assignments_count: int | None = None
    created: str | None = None
    modified: str | None = None
    groups: list[Annotated[GroupRef, Reference]] | None = None
    """The groups that may see it; [] is everyone, None is not said (only the cross-type list says it)."""


class Article(ContentItem):
    """A content item whose type is "article" when the answer leaves it out."""

    content_type: str = "article"
