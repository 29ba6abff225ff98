"""What tools answer: the shapes behind every output schema.

Each begins with `summary`, one or two sentences that can be read out as they stand. `structuredContent` and the text
block carry the same object (some clients show a model only the one, some only the other).
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]


class Row(BaseModel):
    """One row of a list: the named fields in `concise`, every field the API sent in `full`."""

    model_config = ConfigDict(extra="allow")

    public_id: str


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

    total_count: int
    page: int
    page_size: int
    next_page: int | None
    items: list[RowT]
    csv: str | None = None
    """URI of all rows of all pages as CSV, where this is not the only page."""


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
    undo: ToolCall | None = None
    undo_note: str | None = None
    effects: list[str] | None = None
    irreversible: bool | None = None
    needs: list[str] | None = None
    """Arguments that must be given as well before the call can be carried out."""
    confirm_token: str | None = None
    expires_at: str | None = None


OutcomeStatus = Literal["succeeded", "unchanged", "failed", "unknown"]


class Outcome(BaseModel):
    """One item of a call that writes many."""

    public_id: str
    name: str | None = None
    status: OutcomeStatus
    reason: str | None = None


class ManyAnswer(WriteAnswer):
    """What a call that writes many things did to them: counts, and each item that failed or has no known end."""

    succeeded: int | None = None
    unchanged: int | None = None
    failed: int | None = None
    unknown: int | None = None
    not_sent: int | None = None
    items: list[Outcome] | None = None


class ErrorAnswer(BaseModel):
    """An error, for the reader: what happened, what to do next."""

    code: str
    message: str
    status: int | None = None
    retryable: bool = False
    retry_after: float | None = None
    request_id: str | None = None
    field_errors: dict[str, list[str]] | None = None
    candidates: list[dict[str, str]] | None = None
    check: ToolCall | None = None
    """After a lost answer: the call that shows whether the write happened."""
