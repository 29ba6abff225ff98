"""What tools answer: the shapes behind every output schema.

Each begins with `summary`, one or two sentences that can be read out as they stand. `structuredContent` and the text
block carry the same object (some clients show a model only the one, some only the other).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, WithJsonSchema

from pp_mcp.text import looks_like_instructions, quoted

Json = dict[str, Any]


class Row(BaseModel):
    """One row of a list: the named fields in `concise`, every field the API sent in `full`."""

    model_config = ConfigDict(extra="allow")

    public_id: str

    @classmethod
    def added(cls, thing: BaseModel) -> Json:
        """Fields of the row that the API does not send."""
        return {}


RowT = TypeVar("RowT", bound=Row)


class Named(BaseModel):
    """A thing that was found or changed: what it is, its id and its name."""

    kind: str
    public_id: str | None = None
    name: str | None = None


class ToolCall(BaseModel):
    """A call that can be made as it stands."""

    tool: str
    arguments: Json


class Answer(BaseModel):
    """What every answer begins with. Fields that were not set are absent, not null."""

    summary: str
    resolved: dict[str, Any] | None = None
    """What a name, e-mail or URL in the arguments was taken to mean (kind, public_id, name); absent for ids."""
    left_out: int | None = None
    """Rows that did not fit; `summary` says how to get them."""


class ListAnswer(Answer, Generic[RowT]):
    """One page of a list."""

    total_count: int | None = None
    """Absent where not all rows could be read."""
    page: int
    page_size: int
    next_page: int | None = None
    items: list[RowT]
    csv: str | None = None
    """URI of all rows of all pages as CSV, where this is not the only page; it leads to the first part."""
    csv_parts: int | None = None
    """How many parts the CSV has, where it is more than one."""


class ItemAnswer(Answer, Generic[RowT]):
    """One thing with every field the API sent."""

    item: RowT


Status = Literal["done", "unchanged", "partial", "confirmation_required"]


class WriteAnswer(Answer):
    """What a write did, or, with `status: confirmation_required`, what it would do."""

    status: Status
    target: Named | None = None
    changes: dict[str, list[Any]] | None = None
    not_applied: list[str] | None = None
    undo: Annotated[ToolCall | list[ToolCall] | None, WithJsonSchema({})] = None
    """The call, or the calls in this order, that reverse it."""
    undo_note: str | None = None
    effects: list[str] | None = None
    affected: Annotated[list[Json] | None, WithJsonSchema({"type": "array"})] = None
    """Up to 25 of what would change: public_id, name, from, to."""
    affected_total: int | None = None
    irreversible: bool | None = None
    needs: list[str] | None = None
    """Arguments that must be given as well before the call can be carried out."""
    confirm_token: str | None = None
    expires_at: str | None = None


OutcomeStatus = Literal["succeeded", "unchanged", "skipped", "failed", "unknown"]


class Outcome(BaseModel):
    """One item of a call that writes many."""

    public_id: str
    name: str | None = None
    status: OutcomeStatus
    reason: str | None = None


class ManyAnswer(WriteAnswer):
    """What a call that writes many things did: counts, and each item skipped, failed or with an unknown outcome."""

    model_config = ConfigDict(populate_by_name=True)

    succeeded: int | None = None
    unchanged: int | None = None
    skipped: int | None = None
    """Changed after the preview, so left alone."""
    failed: int | None = None
    unknown: int | None = None
    not_sent: int | None = None
    continue_: Annotated[ToolCall | None, WithJsonSchema({})] = Field(default=None, alias="continue")
    """The call, with its token, that does what was not sent."""
    items: list[Outcome] | None = None


class ErrorAnswer(BaseModel):
    """An error, for the reader: what happened, what to do next."""

    code: str
    message: str
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None
    request_id: str | None = None
    candidates: list[dict[str, str]] | None = None
    check: ToolCall | None = None
    """After a lost answer: the call that shows whether the write happened."""


class Part(BaseModel):
    """A thing inside a row: its name, and what else the API sent in `full`."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None


class PersonPart(Part):
    """A person inside a row; the e-mail can be given as a `user` argument."""

    email: str | None = None


class UserRow(Row):
    """A person."""

    name: str | None = None
    email: str | None = None
    role: str | None = None
    is_active: bool | None = None
    manager: Part | None = None


class GroupRow(Row):
    """A group; `note` says so where another system keeps it."""

    name: str | None = None
    source: str | None = None
    member_count: int | None = None
    note: str | None = None

    @classmethod
    def added(cls, thing: BaseModel) -> Json:
        kept = kept_elsewhere(getattr(thing, "source", None))
        return {"note": kept} if kept else {}


def kept_elsewhere(source: str | None) -> str | None:
    """The warning about a group that another system keeps; None where people keep it by hand."""
    if source in (None, "", "plusplus"):
        return None
    return f"Kept by {quoted(source)} and rebuilt at its next sync, which undoes changes made by hand."


class ContentRow(Row):
    """A content item."""

    name: str | None = None
    content_type: str | None = None
    is_archived: bool | None = None
    is_hidden: bool | None = None
    total_assignments: int | None = None
    completed_assignments_count: int | None = None
    avg_feedback_rating: float | None = None
    modified: str | None = None


class AssignmentRow(Row):
    """An assignment: one person, one content item."""

    user: PersonPart | None = None
    content_item: Part | None = None
    state: str | None = None
    progress: float | None = None
    due_date: str | None = None
    is_overdue: bool | None = None
    completed_datetime: str | None = None


class EnrollmentRow(Row):
    """An enrollment: one person at one event."""

    user: PersonPart | None = None
    event: Part | None = None
    status: str | None = None
    attendance_method: str | None = None
    checkin_datetime: str | None = None


_ONLY_WHERE_TRUE = frozenset({"is_archived", "is_hidden", "is_overdue"})
"""Fields that a concise row leaves out where they are false."""


def full(row: type[RowT], thing: BaseModel) -> RowT:
    """The row with every field the API sent, as it sent it."""
    return rows_of(row, [thing], "full")[0]


def rows_of(row: type[RowT], things: Sequence[BaseModel], detail: str) -> list[RowT]:
    """The rows as `detail` wants them: `full` with every field the API sent; else with those that the class declares
    and the API sent: of `modified` the day, and `progress` only where something is begun and not done."""
    if detail == "full":
        rows = [{**thing.model_dump(mode="json", exclude_unset=True), **row.added(thing)} for thing in things]
    else:
        rows = [{**_declared(row, thing), **row.added(thing)} for thing in things]
    texts: list[str] = []
    _collect(rows, texts)
    whole = " ".join(texts)
    # One look at all of them is enough for nearly every page; an escape could hide what stands behind it.
    if "\x1b" in whole or looks_like_instructions(whole):
        rows = [marked(fields) for fields in rows]
    return _list_of(row).validate_python(rows)


@cache
def _list_of(row: Any) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[row])  # pyright: ignore[reportInvalidTypeForm] - a class, known when it runs


def _collect(values: Iterable[Any], texts: list[str]) -> None:
    for one in values:
        if type(one) is str:
            texts.append(one)
        elif type(one) is dict:
            _collect(cast(Json, one).values(), texts)
        elif type(one) is list:
            _collect(cast("list[Any]", one), texts)


def marked(fields: Json) -> Json:
    """The fields, with `suspicious`: the names of those whose text reads like orders to an assistant, if any. A nested
    one is `content_item.name`."""
    found = list(dict.fromkeys(_suspicious(fields)))
    return {**fields, "suspicious": found} if found else fields


def _suspicious(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, str) and looks_like_instructions(value):
        yield path
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _suspicious(one, path)
    elif isinstance(value, dict):
        for name, one in cast(Json, value).items():
            yield from _suspicious(one, f"{path}.{name}" if path else name)


def _declared(row: type[BaseModel], thing: BaseModel) -> Json:
    fields: Json = {}
    for name, kind in _kinds(row).items():
        value = getattr(thing, name, None)
        if isinstance(value, BaseModel):
            value = _declared(kind, value)
        elif name == "modified":
            value = (value or "")[:10] or None
        elif name == "progress" and not 0 < (value or 0) < 1:
            value = None
        if value is not None and not (value is False and name in _ONLY_WHERE_TRUE):
            fields[name] = value
    return fields


@cache
def _kinds(row: type[BaseModel]) -> dict[str, Any]:
    """What each field of a row is, None aside."""
    return {name: next(iter(get_args(field.annotation)), None) for name, field in row.model_fields.items()}


def scope_of(**parts: str | None) -> str:
    """What a list was narrowed to, after its noun: `scope_of(of="Security 101")` is ` of “Security 101”`."""
    return "".join(f" {words.replace('_', ' ').strip()} {quoted(name)}" for words, name in parts.items() if name)
