"""One page of a list, in words: which rows of how many, what stands out on them, how to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pp_mcp.answers import ListAnswer, Row
from pp_mcp.models import Page
from pp_mcp.text import listed, plural, quoted, word

ThingT = TypeVar("ThingT")
RowT = TypeVar("RowT", bound=Row)


def list_answer(
    page: Page[ThingT],
    row: Callable[[ThingT], RowT],
    *,
    one: str,
    many: str,
    scope: str = "",
    stands_out: Sequence[str] = (),
    narrow: str = "",
) -> ListAnswer[Any]:
    """The answer for one page. `scope` follows the noun (" of the group “Platform”"); `narrow` names other filters."""
    total, pages = page.total_count, page.total_pages
    first = (page.page - 1) * page.page_size + 1
    last = first + len(page.items) - 1
    next_page = page.page + 1 if page.items and page.page < pages else None
    if total == 0:
        summary = f"No {many}{scope} match."
        if narrow:
            summary += f" Try fewer filters or other ones: {narrow}."
    elif not page.items:
        summary = (
            f"Page {page.page:,} is past the last one: {plural(total, one, many)}{scope} on {plural(pages, 'page')}."
        )
    elif last - first + 1 >= total:
        summary = f"{plural(total, one, many)}{scope}."
    else:
        summary = (
            f"{many[:1].upper()}{many[1:]} {first:,}-{last:,} of {total:,}{scope} (page {page.page:,} of {pages:,})."
        )
    noted = [fact for fact in stands_out if fact]
    if page.items and noted:
        summary += f" {'On this page' if total > len(page.items) else 'Among them'}: {listed(noted, 6)}."
    if next_page is not None:
        summary += f" Go on with page={next_page}" + (f" or narrow by {narrow}." if narrow else ".")
    return ListAnswer[RowT](
        summary=summary,
        total_count=total,
        page=page.page,
        page_size=page.page_size,
        next_page=next_page,
        items=[row(thing) for thing in page.items],
    )


def scope_of(**parts: str | None) -> str:
    """What a list was narrowed to, after its noun: `scope_of(of="Security 101")` is ` of “Security 101”`."""
    return "".join(f" {word.replace('_', ' ').strip()} {quoted(name)}" for word, name in parts.items() if name)


def counted(count: int, words: str) -> str:
    """`14 overdue`, or nothing where there is none."""
    return f"{count:,} {words}" if count else ""


def tally(values: Sequence[str | None]) -> str:
    """`12 completed, 3 dropped`: how often each value stands, most frequent first."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value or "none"] = counts.get(value or "none", 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return listed([f"{count:,} {word(value)}" for value, count in ordered], 6)
