"""Records as the API sends them, read leniently because its public pages contradict each other."""

from typing import Annotated, Any, cast

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

PublicId = Annotated[str, Field(min_length=1)]
"""Opaque: a UUID in the reference, a ULID in the guides (both documented). Never a number."""


Name = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "")]
"""A display name; "" where the API sends none."""


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


TextOrNumber = Annotated[str, BeforeValidator(_as_text)]
"""Text that some tenants fill with numbers, such as an employee id."""

Reference = BeforeValidator(lambda value: {"public_id": value} if isinstance(value, str) else value)
"""Lets a related record be the bare public_id as well as an object (inferred: requests name relations by id)."""


class Record(BaseModel):
    """One record as the API sent it; fields nobody documented stay, and are found in `model_extra`."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class NamedRecord(Record):
    """A record with a public_id and a name."""

    public_id: PublicId
    name: Name = ""

    @property
    def label(self) -> str:
        """The name, or the public_id where there is none."""
        return self.name or self.public_id


class PersonRef(NamedRecord):
    """A person as other records name one: public_id, name, email (documented)."""

    email: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _full_name(cls, value: object) -> object:
        """Fills `name` from `first_name` and `last_name`, which the guides show instead (both documented)."""
        record = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        if record.get("name") or not record:
            return cast(object, value)
        parts = [record.get("first_name"), record.get("last_name")]
        full = " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
        return {**record, "name": full} if full else record

    @property
    def label(self) -> str:
        """The name, else the e-mail address, else the public_id."""
        return self.name or self.email or self.public_id


class User(PersonRef):
    """A person's profile (documented). `role` is admin, organizer or user; other values pass."""

    role: str | None = None
    employee_id: TextOrNumber | None = None
    is_active: bool | None = None
    manager: Annotated[PersonRef | None, Reference] = None
    date_joined: str | None = None
    """ISO 8601 date and time, as sent."""


class GroupRef(NamedRecord):
    """A group as other records name one."""


class Group(NamedRecord):
    """A group (documented). `source` is "plusplus" for groups made there; other sources keep their groups in step."""

    source: str | None = None
    member_count: int | None = None
    created: str | None = None
    modified: str | None = None


class ContentRef(NamedRecord):
    """A content item as an assignment names it."""

    content_type: str = ""


class ContentItem(NamedRecord):
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


class Assignment(Record):
    """An assignment (documented). Dates are as sent: `due_date` YYYY-MM-DD, all others ISO 8601 date and time."""

    public_id: PublicId
    user: Annotated[PersonRef, Reference]
    content_item: Annotated[ContentRef, Reference]
    state: str
    """not_started, in_progress, completed, dropped, exempted; an open set (partly inferred)."""
    progress: float | None = None
    """0 to 1."""
    score: float | None = None
    """0 to 1."""
    is_success: bool | None = None
    due_date: str | None = None
    is_overdue: bool | None = None
    started_at: str | None = None
    completed_datetime: str | None = None
    dropped_at: str | None = None
    exempted_at: str | None = None
    expires_at: str | None = None
    feedback_rating: int | float | None = None
    attempt: int | None = None
    created: str | None = None


class EventRef(NamedRecord):
    """An event as an enrollment names it."""


class Enrollment(Record):
    """An enrollment (documented); the API can only list them. Dates are ISO 8601, as sent."""

    public_id: PublicId
    user: Annotated[PersonRef, Reference]
    event: Annotated[EventRef, Reference]
    status: str
    """enrolled, waitlisted, checked_in, no_show, dropped, cancelled; an open set (partly inferred)."""
    attendance_method: str | None = None
    checkin_datetime: str | None = None
    state: str | None = None
    created: str | None = None


class ApiToken(BaseModel):
    """A token just made. The only answer that holds the secret, and the only time the API tells it (documented).

    The name of the field is inferred, so its likely other names are read too.
    """

    # Unknown fields are dropped here: one of them could be the secret again, under another name.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    public_id: PublicId | None = None
    name: Name = ""
    token: SecretStr = Field(min_length=1, validation_alias=AliasChoices("token", "key", "secret", "api_token"))
    expires_at: str | None = None
    created: str | None = None
