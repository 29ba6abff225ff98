"""What came of a batch, item by item."""

from collections.abc import Sequence
from typing import Literal, cast

from pydantic import BaseModel

Outcome = Literal["succeeded", "failed", "unknown"]


class BulkOutcome(BaseModel):
    """One item. "unknown": the answer does not mention it. `error_message` is the API's text, as sent."""

    public_id: str
    status: Outcome
    error_message: str | None = None


class BulkAnswer(BaseModel):
    """One outcome for each item asked for, in the order asked."""

    items: list[BulkOutcome]

    @property
    def succeeded(self) -> list[BulkOutcome]:
        return [item for item in self.items if item.status == "succeeded"]

    @property
    def failed(self) -> list[BulkOutcome]:
        return [item for item in self.items if item.status == "failed"]

    @property
    def unknown(self) -> list[BulkOutcome]:
        return [item for item in self.items if item.status == "unknown"]


def read_bulk(body: object, asked: Sequence[str]) -> BulkAnswer:
    """Reads a 200 or 207 answer to a batch of the ids `asked`. The body of a 207 is not documented.

    Takes any shape that names items and errors: rows under `data`, `results`, `items` or bare; `succeeded` and `failed`
    lists; errors keyed by id. Where only failures are named, the rest succeeded, unless a count of successes says
    otherwise; where rows are listed, an item without one is unknown. Raises ValueError for anything else.
    """
    found: dict[str, BulkOutcome] = {}
    rest: Outcome = "unknown"
    if isinstance(body, dict) and isinstance(inner := cast(dict[str, object], body).get("data"), dict):
        body = cast(dict[str, object], inner)
    if isinstance(body, list):
        found = _rows(cast(list[object], body))
    elif isinstance(body, dict):
        answer = cast(dict[str, object], body)
        for key in ("data", "results", "items"):
            if isinstance(rows := answer.get(key), list):
                found |= _rows(cast(list[object], rows))
        for key in ("succeeded", "success", "successes", "successful"):
            found |= _listed(answer.get(key), "succeeded")
        only_failures = not found
        for key in ("failed", "failures", "errors"):
            found |= _listed(answer.get(key), "failed")
        if only_failures and _said_the_rest_went_well(answer, len(found), len(asked)):
            rest = "succeeded"
    known = {one.lower(): outcome for one, outcome in found.items()}
    if rest == "unknown" and not any(one.lower() in known for one in asked):
        raise ValueError("it does not say what came of the items")
    return BulkAnswer(
        items=[
            known[one.lower()].model_copy(update={"public_id": one})
            if one.lower() in known
            else BulkOutcome(public_id=one, status=rest)
            for one in asked
        ]
    )


def _said_the_rest_went_well(answer: dict[str, object], failures: int, asked: int) -> bool:
    meta = answer.get("meta")
    figures = {**answer, **cast(dict[str, object], meta)} if isinstance(meta, dict) else answer
    counts = [figures[key] for key in ("succeeded", "success_count", "succeeded_count") if key in figures]
    whole = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
    if whole:
        return all(count == asked - failures for count in whole)
    return any(key in answer for key in ("failed", "failures", "errors"))


def _rows(rows: list[object]) -> dict[str, BulkOutcome]:
    return {outcome.public_id: outcome for row in rows if (outcome := _row(row)) is not None}


def _row(row: object, usual: Outcome | None = None) -> BulkOutcome | None:
    if isinstance(row, str):
        return BulkOutcome(public_id=row, status=usual) if usual else None
    if not isinstance(row, dict):
        return None
    fact = cast(dict[str, object], row)
    item = fact.get("item")
    public_id = fact.get("public_id") or fact.get("id")
    if public_id is None and isinstance(item, dict):
        public_id = cast(dict[str, object], item).get("public_id")
    if not isinstance(public_id, str) or not public_id:
        return None
    message = _message(fact.get("error") or fact.get("errors") or fact.get("error_message"))
    status = usual or _status(fact, message)
    return BulkOutcome(public_id=public_id, status=status, error_message=message or _message(fact.get("message")))


def _status(fact: dict[str, object], message: str | None) -> Outcome:
    for key in ("status", "result", "success", "ok"):
        said = fact.get(key)
        if isinstance(said, bool):
            return "succeeded" if said else "failed"
        if isinstance(said, int):
            return "succeeded" if 200 <= said < 300 else "failed"
        if isinstance(said, str):
            word = said.lower()
            if word in ("succeeded", "success", "successful", "ok", "done", "archived", "unarchived", "unchanged"):
                return "succeeded"
            if word in ("failed", "failure", "error", "rejected", "forbidden", "not_found", "skipped", "invalid"):
                return "failed"
    return "failed" if message else "unknown" if "status" in fact else "succeeded"


def _listed(value: object, status: Outcome) -> dict[str, BulkOutcome]:
    if isinstance(value, dict):
        keyed = cast(dict[str, object], value)
        return {
            one: BulkOutcome(public_id=one, status=status, error_message=_message(what)) for one, what in keyed.items()
        }
    if isinstance(value, list):
        rows = (_row(row, status) for row in cast(list[object], value))
        return {outcome.public_id: outcome for outcome in rows if outcome is not None}
    return {}


def _message(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, list):
        lines = [text for part in cast(list[object], value) if (text := _message(part))]
        return "; ".join(lines) or None
    if isinstance(value, dict):
        fact = cast(dict[str, object], value)
        return _message(fact.get("message")) or _message(fact.get("detail")) or _message(fact.get("code"))
    return None
