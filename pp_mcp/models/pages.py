"""One page of a list."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Rows and where they stand: page `page` (1-based) of `total_pages`, `total_count` rows in all."""

    items: list[T]
    page: int
    page_size: int
    total_count: int
    total_pages: int

    @property
    def next_page(self) -> int | None:
        """The number of the page after this one; None on the last and beyond it."""
        return self.page + 1 if self.page < self.total_pages else None


def read_page(body: object, *, page: int, page_size: int) -> Page[object]:
    """The rows, unread, and figures of a list answer. `page` and `page_size` are what was asked for.

    The documented envelope is `{"data": […], "meta": {page, page_size, total_count[, total_pages]}}`; `items`,
    `results` and `count` of the usual Django paginations are read too. Raises ValueError without rows or
    without a count: nobody could say then whether rows are missing.
    """
    if not isinstance(body, dict):
        raise ValueError("it is not a list with its figures")
    answer = cast(dict[str, Any], body)
    rows = next((answer[key] for key in ("data", "items", "results") if isinstance(answer.get(key), list)), None)
    if rows is None:
        raise ValueError("it has no list of rows")
    meta = cast(dict[str, Any], answer["meta"]) if isinstance(answer.get("meta"), dict) else answer
    total = next((n for key in ("total_count", "count", "total") if (n := _whole(meta.get(key))) is not None), None)
    if total is None:
        raise ValueError("it does not say how many rows there are")
    size = _whole(meta.get("page_size")) or page_size
    pages = _whole(meta.get("total_pages"))
    return Page(
        items=cast(list[object], rows),
        page=_whole(meta.get("page")) or page,
        page_size=size,
        total_count=total,
        total_pages=-(-total // size) if pages is None else pages,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
