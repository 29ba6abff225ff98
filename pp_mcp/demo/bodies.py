"""Request bodies, one model per schema of the contract.

Strict: unknown fields and wrong types are refused, nothing is coerced (a client's mistake must show).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from pp_mcp.demo.errors import Refusal, invalid
from pp_mcp.demo.ids import IdForm, canonical
from pp_mcp.demo.moments import parse_day, parse_moment

_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>.]+(\.[^@\s,;<>.]+)+")


def _public_id(text: str, info: ValidationInfo) -> str:
    form: IdForm = info.context["ids"] if info.context else "uuid"
    found = canonical(form, text)
    if found is None:
        raise ValueError(f"Not a valid {form.upper()}.")
    return found


def _no_null(text: str) -> str:
    if "\0" in text:
        raise ValueError("Null characters are not allowed.")
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("This field may not be blank.")
    return text


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("Enter a valid email address.")
    return text


PublicId = Annotated[str, AfterValidator(_public_id)]
Text = Annotated[str, AfterValidator(_no_null)]
Name = Annotated[str, AfterValidator(_no_null), AfterValidator(_filled), Field(max_length=255)]
Email = Annotated[str, AfterValidator(_no_null), AfterValidator(_email), Field(max_length=254)]
Day = Annotated[str, AfterValidator(parse_day)]
Moment = Annotated[str, AfterValidator(parse_moment)]
Minutes = Annotated[int, Field(ge=0, le=1_000_000)]
Role = Literal["admin", "organizer", "user"]


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ApiTokenCreate(Body):
    """POST /auth/tokens."""

    name: Annotated[str, AfterValidator(_no_null), AfterValidator(_filled), Field(max_length=128)]
    expires_at: Moment | None = None


class UserCreate(Body):
    """POST /users."""

    email: Email
    name: Name
    role: Role | None = "user"
    employee_id: Name | None = None
    manager: PublicId | None = None


class UserUpdate(Body):
    """PATCH /users/{public_id}: an e-mail address cannot be changed."""

    name: Name | None = None
    role: Role | None = None
    employee_id: Name | None = None
    manager: PublicId | None = None
    is_active: bool | None = None


class GroupCreate(Body):
    """POST /groups."""

    name: Name
    source: Name | None = "plusplus"


class GroupUpdate(Body):
    """PATCH /groups/{public_id}."""

    name: Name | None = None


class MemberIds(Body):
    """POST and DELETE /groups/{public_id}/members."""

    member_ids: list[PublicId]


class MembersReplace(Body):
    """PUT /groups/{public_id}/members."""

    member_ids: list[PublicId]
    confirm_replace: bool = False
    confirm_large_removal: bool = False


class ArticleCreate(Body):
    """POST /articles; `duration` in minutes (the response calls it `duration_minutes`)."""

    name: Name
    is_hidden: bool | None = False
    is_self_assignable: bool | None = True
    duration: Minutes | None = None


class ArticleUpdate(Body):
    """PATCH /articles/{public_id}; `duration` in minutes."""

    name: Name | None = None
    is_hidden: bool | None = None
    is_self_assignable: bool | None = None
    duration: Minutes | None = None


class ContentItemUpdate(Body):
    """PATCH /content-items/{public_id}: `groups` replaces the access groups, `[]` opens the item (documented)."""

    name: Name | None = None
    is_hidden: bool | None = None
    groups: list[PublicId] | None = None


class BulkItem(BaseModel):
    """One item of a batch; the contract allows further fields."""

    model_config = ConfigDict(extra="ignore", strict=True)

    public_id: PublicId


class BulkItems(Body):
    """POST /content-items/bulk-archive and bulk-unarchive."""

    items: Annotated[list[BulkItem], Field(max_length=100)]


class AssignmentCreate(Body):
    """POST /assignments."""

    user_id: PublicId
    content_item_id: PublicId
    due_date: Day | None = None
    expires_at: Moment | None = None


class AssignmentUpdate(Body):
    """PATCH /assignments/{public_id}: null removes (documented)."""

    due_date: Day | None = None
    expires_at: Moment | None = None


class AssignmentDrop(Body):
    """POST /assignments/{public_id}/drop; the body may be left out."""

    reason: Text | None = None


B = TypeVar("B", bound=Body)


def read(model: type[B], raw: bytes, content_type: str, ids: IdForm) -> B:
    """Parse and check a body; 422 with `field_errors` otherwise."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise invalid({"body": ["Send JSON with Content-Type: application/json."]})
    try:
        return model.model_validate_json(raw, context={"ids": ids})
    except ValidationError as wrong:
        raise _refusal(wrong) from wrong


def _refusal(wrong: ValidationError) -> Refusal:
    field_errors: dict[str, list[str]] = {}
    for error in wrong.errors(include_url=False, include_context=False, include_input=False):
        path: tuple[Any, ...] = error["loc"]
        field = str(path[0]) if path else "body"
        inside = ".".join(str(step) for step in path[1:])
        message = error["msg"].removeprefix("Value error, ")
        field_errors.setdefault(field, []).append(f"{inside}: {message}" if inside else message)
    return invalid(field_errors)
