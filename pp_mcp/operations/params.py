"""The argument types that many tools share, each described once.

A reference reaches the operation as the thing it names; how a name, e-mail or URL becomes one is the server's part.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, tzinfo
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo

from pp_mcp.declare import Reference
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Assignment, ContentItem, EventRef, Group, User
from pp_mcp.text import hidden_in, listed

# --- references ---------------------------------------------------------------------------------------------------

UserArg = Annotated[User, Reference("user"), Field(description="E-mail, full name, id or URL.")]
ManagerArg = UserArg
GroupArg = Annotated[Group, Reference("group"), Field(description="Name, id or URL.")]
ItemArg = Annotated[ContentItem, Reference("content_item"), Field(description="Name, id or URL.")]
ArticleArg = Annotated[ContentItem, Reference("article"), Field(description="Name, id or URL.")]
SomeGroupsArg = Annotated[
    list[Group],
    Reference("group"),
    Field(description="Name, id or URL; of several: people who are in all of them.", min_length=1, max_length=100),
]
SomeUsersArg = Annotated[
    list[User],
    Reference("user"),
    Field(description="One or several: e-mails, full names, ids or URLs.", min_length=1, max_length=100),
]
SomeItemsArg = Annotated[
    list[ContentItem],
    Reference("content_item"),
    Field(description="One or several: names, ids or URLs.", min_length=1, max_length=100),
]
EventArg = Annotated[EventRef, Reference("event"), Field(description="Name, id or URL.")]
AssignmentArg = Annotated[Assignment, Reference("assignment"), Field(description="Id or URL.")]
ChannelArg = Annotated[str, Reference("channel"), Field(description="Id or URL.")]
MembersArg = Annotated[
    list[User],
    Reference("user"),
    Field(description="E-mails, full names or ids.", max_length=1000),
]
SomeMembersArg = Annotated[
    list[User],
    Reference("user"),
    Field(description="E-mails, full names or ids.", min_length=1, max_length=1000),
]
ItemsArg = Annotated[
    list[ContentItem],
    Reference("content_item"),
    Field(description="Names, ids or URLs.", min_length=1, max_length=1000),
]
AccessGroupsArg = Annotated[
    list[Group],
    Reference("group"),
    Field(description="Replaces all: names, ids or URLs; [] is everyone.", max_length=100),
]


def _real_page(page: int) -> int:
    if page > 1_000_000:
        raise ValueError("must be at most 1,000,000")
    return page


# --- pages --------------------------------------------------------------------------------------------------------

PageArg = Annotated[int, Field(ge=1, description="Page."), AfterValidator(_real_page)]
PageSizeArg = Annotated[int, Field(ge=1, le=100, description="Rows per page.")]
DetailArg = Annotated[Literal["concise", "full"], Field(description="full: all fields.")]
SearchArg = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

# --- values -------------------------------------------------------------------------------------------------------


def _nothing_hidden(text: str, *, breaks: bool = False) -> str:
    if hidden := hidden_in(text, breaks=breaks):
        raise ValueError(f"has characters that nobody sees ({listed(sorted(set(hidden)))}): leave them out")
    return text


def _lines(text: str) -> str:
    return _nothing_hidden(text, breaks=True)


NothingHidden = AfterValidator(_nothing_hidden)
"""For text that is written to the tenant, on one line."""
NothingHiddenInLines = AfterValidator(_lines)
"""For text that is written to the tenant and may have line breaks."""
NameArg = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), NothingHidden]
RoleArg = Annotated[Literal["admin", "organizer", "user"], Field(description="Permissions.")]
ContentType = Literal[
    "article", "video", "course", "guide", "event", "event_type", "link", "track", "scheduled_track", "collection"
]
ContentTypeArg = Annotated[ContentType, Field(description="Content type.")]
StateArg = Annotated[
    Literal["not_started", "in_progress", "completed", "dropped", "exempted"], Field(description="State.")
]
EnrollmentStatusArg = Annotated[
    Literal["enrolled", "waitlisted", "checked_in", "no_show", "dropped", "cancelled"], Field(description="Status.")
]
AttendanceArg = Annotated[Literal["in_person", "online"], Field(description="How they attend.")]
ArchivedArg = Annotated[bool, Field(description="true: only archived; false: none; else both.")]
HiddenFilterArg = Annotated[bool, Field(description="true: only hidden; false: none.")]
ActiveFilterArg = Annotated[bool, Field(description="false: only leavers.")]
OverdueArg = Annotated[bool, Field(description="true: only overdue.")]

_EMAIL = re.compile(r"[^@\s<>\"',;:()\\]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+")


def is_email(text: str) -> bool:
    """Whether the text has the form of one e-mail address."""
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def _email(value: object) -> object:
    if not isinstance(value, str) or not is_email(value.strip()):
        raise ValueError("must be one e-mail address such as jane.doe@example.com")
    return _nothing_hidden(value.strip())


def _day(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
        try:
            return date.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError("must be a date that exists, as YYYY-MM-DD") from error
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError("must be a date as YYYY-MM-DD, such as 2026-12-31")


def _moment(text: object, info: ValidationInfo, of_day: time) -> str:
    zone: tzinfo = info.context or UTC
    if isinstance(text, str):
        stripped = text.strip()
        try:
            moment: datetime | None = None
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", stripped):
                moment = datetime.combine(date.fromisoformat(stripped), of_day)
            elif re.fullmatch(r"\d{4}-\d{2}-\d{2}[Tt ].+", stripped):
                moment = datetime.fromisoformat(stripped)
            if moment is not None:
                moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
                return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        except (ValueError, OverflowError):
            pass
    raise ValueError(
        "must be a date (2026-12-31) or a time as ISO 8601 (2026-12-31T17:00:00Z; without a zone, in PP_TIMEZONE)"
    )


def _from(value: object, info: ValidationInfo) -> str:
    return _moment(value, info, time.min)


def _until(value: object, info: ValidationInfo) -> str:
    return _moment(value, info, time.max)


EmailArg = Annotated[str, BeforeValidator(_email), Field(json_schema_extra={"format": "email"})]
DayArg = Annotated[date, BeforeValidator(_day)]
_MOMENT = Field(description="Date (whole day, PP_TIMEZONE) or ISO time.")
FromArg = Annotated[str, BeforeValidator(_from), _MOMENT]
"""A moment at or after which something happened: a date means its beginning in PP_TIMEZONE. As UTC."""
UntilArg = Annotated[str, BeforeValidator(_until), _MOMENT]
"""A moment at or before which something happened: a date means its end in PP_TIMEZONE. As UTC."""
ExpiryArg = Annotated[str, BeforeValidator(_until), Field(description="Expiry: date (its end) or ISO time.")]
"""A moment at which something ends: a date means its end in PP_TIMEZONE. As UTC."""
DueArg = Annotated[DayArg, Field(description="Due date.")]


def same_moment(one: str | None, other: str | None) -> bool:
    """Whether two dates or times as the API writes them mean the same: `Z` or `+00:00`, with fractions or not."""
    if one is None or other is None or one == other:
        return one == other
    # To the second: services drop fractions differently.
    first, second = (text.replace("+00:00", "").rstrip("Z").split(".")[0] for text in (one, other))
    return first == second


def asked_for(clear: Collection[str] | None, **given: Any) -> dict[str, Any]:
    """What the caller wants set: of the arguments `given` those that are not None, and None for each to `clear`, which
    is () where the tool cannot clear.

    Raises:
        InvalidArgument: nothing was asked for, or a field is both given and cleared.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    if both := sorted({*asked} & {*(clear or ())}):
        raise InvalidArgument(
            f"{listed(both)} cannot be both set and cleared. Nothing was changed.",
            field_errors={"clear": [f"{name} is given as well" for name in both]},
        )
    asked |= dict.fromkeys(clear or ())
    if not asked:
        names = [*given, *(["clear"] if clear is None else [])]
        raise InvalidArgument(f"Nothing to change. Give at least one of {', '.join(names)}.", field_errors={})
    return asked
