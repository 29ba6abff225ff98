"""One page of a list: read from the API, and said in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel

from pp_mcp.answers import ListAnswer, Row, rows_of
from pp_mcp.api.walk import Coverage, walk
from pp_mcp.declare import Call
from pp_mcp.models import Assignment, Page
from pp_mcp.text import listed, plural, plural_of

RowT = TypeVar("RowT", bound=Row)


async def list_page(
    call: Call,
    operation: str,
    model: type[BaseModel],
    row: type[RowT],
    *,
    noun: str,
    scope: str = "",
    page: int,
    page_size: int,
    detail: str,
    always: Mapping[str, Any] | None = None,
    note: str = "",
    **filters: Any,
) -> ListAnswer[RowT]:
    """Reads one page and answers it. `filters` are the arguments by which the caller can narrow the list; `always` are
    filters beside them that this tool sets itself. `note` is a sentence that follows the summary."""
    asked = {name: sent(value) for name, value in {**filters, **(always or {})}.items()}
    found = await call.api.page(operation, model, page=page, page_size=page_size, **asked)
    return list_answer(found, row, detail, noun=noun, scope=scope, filters=filters, note=note)


async def count(call: Call, operation: str, model: type[BaseModel], **filters: Any) -> int:
    """How many rows a list has."""
    return (await call.api.page(operation, model, page_size=1, **filters)).total_count


async def count_outstanding(call: Call, **filters: str) -> int:
    """How many assignments are still to be done."""
    counts = [await count(call, "list_assignments", Assignment, state=state, **filters) for state in OUTSTANDING]
    return sum(counts)


OUTSTANDING = ("not_started", "in_progress")
"""States in which there is still something to do (inferred from the help centre; not itself a value of the API)."""


def sent(value: Any) -> Any:
    """A filter's value as the API takes it: a date as ISO 8601, a thing as its id."""
    return value.isoformat() if isinstance(value, date) else getattr(value, "public_id", value)


class _Kept:
    """The rows of a list that a filter of ours leaves. Each is kept as JSON, which takes a fraction of the memory."""

    def __init__(self, keep: Callable[[Any], bool], order: Callable[[Any], str]) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.coverage: Coverage | None = None
        self._keep = keep
        self._order = order

    def take(self, thing: Any) -> None:
        """Keeps a row, if it is to be kept."""
        if self._keep(thing):
            self.rows.append((self._order(thing), thing.public_id, thing.model_dump_json(exclude_unset=True)))


async def kept_page(
    call: Call,
    operation: str,
    model: type[BaseModel],
    row: type[RowT],
    *,
    keep: Callable[[Any], bool],
    order: Callable[[Any], str],
    asked: Mapping[str, Any],
    noun: str,
    scope: str,
    page: int,
    page_size: int,
    detail: str,
    filters: Mapping[str, Any],
) -> ListAnswer[RowT]:
    """Answers one page of the rows that `keep` leaves, the last by `order` first.

    The API cannot filter so: all rows that it finds for `asked` are read, once for all pages of a call. Where that is
    not possible in the call's time, there is no count and the summary says how much was read.
    """
    kept = call.memo.get(operation)
    if not isinstance(kept, _Kept):
        kept = call.memo[operation] = _Kept(keep, order)
        kept.coverage = await walk(
            call.api, operation, model, kept.take, kept.rows.clear, filters=asked, progress=call.rows_read
        )
        kept.rows.sort(reverse=True)
    coverage = kept.coverage
    total = len(kept.rows)
    first = (page - 1) * page_size
    things = [model.model_validate_json(text) for _, _, text in kept.rows[first : first + page_size]]
    found = Page(things, page, page_size, total, math.ceil(total / page_size))
    answer = list_answer(found, row, detail, noun=noun, scope=scope, filters=filters)
    if coverage is not None and not coverage.complete:
        answer.summary = (
            f"Incomplete: {coverage.rows_read:,} of {coverage.rows_total:,} rows read ({coverage.reason}), so there "
            f"may be more. Among those: {answer.summary}"
        )
        answer.total_count = None
        answer.model_fields_set.discard("total_count")
    return answer


def list_answer(
    page: Page[Any],
    row: type[RowT],
    detail: str,
    *,
    noun: str,
    scope: str = "",
    filters: Mapping[str, Any],
    note: str = "",
) -> ListAnswer[RowT]:
    """The answer for one page. `scope` follows the noun (" of the group “Platform”"); `filters` are the arguments that
    narrow the list, by name, None where they were not given."""
    many = plural_of(noun)
    total, pages = page.total_count, page.total_pages
    first = (page.page - 1) * page.page_size + 1
    last = first + len(page.items) - 1
    next_page = page.page + 1 if page.items and page.page < pages else None
    given = [name for name, value in filters.items() if value is not None]
    if total == 0:
        summary = f"No {many}{scope} match." + (f" Remove or change a filter: {listed(given, 8)}." if given else "")
    elif not page.items:
        summary = f"Page {page.page:,} is past the end: {plural(total, noun)}{scope} on {plural(pages, 'page')}."
    elif last - first + 1 >= total:
        summary = f"{plural(total, noun)}{scope}."
    else:
        rows = f"{many[0].upper()}{many[1:]} {first:,}-{last:,}"
        summary = f"{rows} of {total:,}{scope} (page {page.page:,} of {pages:,})."
    if next_page is not None:
        others = [name for name in filters if name not in given]
        summary += f" Next: page={next_page}" + (f", or narrow with {listed(others, 5)}." if others else ".")
    if note:
        summary += f" {note}"
    return ListAnswer[RowT](
        summary=summary,
        total_count=total,
        page=page.page,
        page_size=page.page_size,
        next_page=next_page,
        items=rows_of(row, page.items, detail),
    )
