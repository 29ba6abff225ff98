"""What came of a batch, item by item."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel


class BulkOutcome(BaseModel):
    """One item. "unknown": the answer does not say. `error_message` is the API's text, as sent."""

    public_id: str
    status: Literal["succeeded", "failed", "unknown"] = "unknown"
    error_message: str | None = None


class BulkAnswer(BaseModel):
    """One outcome for each item asked for, in the order asked."""

    items: list[BulkOutcome]


def read_bulk(body: object, asked: Sequence[str]) -> BulkAnswer:
    """Reads a 200 or 207 answer to a batch of the ids `asked`. The body of a 207 is not documented.

    Two shapes are read: rows of `{public_id, status, error}`, bare or where a list has its rows, and lists of ids or
    rows under `succeeded` and `failed`. What they do not settle is "unknown": the caller reads those items again.
    Raises ValueError if no item is settled.
    """
    found: dict[str, BulkOutcome] = {}
    answer = cast(dict[str, object], body) if isinstance(body, dict) else {"data": body}
    for key in ("data", "items", "results", "succeeded", "failed"):
        rows, usual = answer.get(key), key if key in ("succeeded", "failed") else None
        for row in cast(list[object], rows) if isinstance(rows, list) else []:
            fact: dict[str, Any] = cast(dict[str, Any], row) if isinstance(row, dict) else {"public_id": row}
            status = usual or fact.get("status")
            if isinstance(fact.get("public_id"), str) and status in ("succeeded", "failed"):
                outcome = BulkOutcome(public_id=fact["public_id"], status=status, error_message=_message(fact))
                found[outcome.public_id.lower()] = outcome
    outcomes = [found.get(one.lower(), BulkOutcome(public_id=one)) for one in asked]
    if all(one.status == "unknown" for one in outcomes):
        raise ValueError("it does not say what became of the items")
    return BulkAnswer(items=[one.model_copy(update={"public_id": asked[n]}) for n, one in enumerate(outcomes)])


def _message(row: dict[str, Any]) -> str | None:
    error = row.get("error")
    if isinstance(error, dict):
        fact = cast(dict[str, object], error)
        error = fact.get("message") or fact.get("code")
    return error if isinstance(error, str) and error else None
