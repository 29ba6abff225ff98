"""Query parameters: parsing by kind, and the WHERE clauses that filters turn into."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from pp_mcp.demo.errors import invalid
from pp_mcp.demo.ids import IdForm, canonical
from pp_mcp.demo.moments import parse_day, parse_moment

Kind = Callable[[str, IdForm], Any]
"""Reads one parameter; ValueError says what is wrong with it."""

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 25


def text(value: str, ids: IdForm) -> str:
    """Any text."""
    return value


def public_id(value: str, ids: IdForm) -> str:
    """A public id in the tenant's form."""
    found = canonical(ids, value)
    if found is None:
        raise ValueError(f"Not a valid {ids.upper()}.")
    return found


def flag(value: str, ids: IdForm) -> bool:
    """`true` or `false`, nothing else."""
    if value not in ("true", "false"):
        raise ValueError("Enter true or false.")
    return value == "true"


def day(value: str, ids: IdForm) -> str:
    """`YYYY-MM-DD`."""
    return parse_day(value)


def moment(value: str, ids: IdForm) -> str:
    """An ISO 8601 datetime with offset."""
    return parse_moment(value)


def role(value: str, ids: IdForm) -> str:
    """The only filter with a fixed set of values."""
    if value not in ("admin", "organizer", "user"):
        raise ValueError("Choose one of: admin, organizer, user.")
    return value


def words(value: str, ids: IdForm) -> list[str]:
    """A comma-separated list of values (documented for `content_type` of content items)."""
    found = [word.strip() for word in value.split(",")]
    if not all(found):
        raise ValueError("Enter one value, or several separated by commas.")
    return found


def page_number(value: str, ids: IdForm) -> int:
    """1 and up."""
    return _whole(value, None)


def page_size(value: str, ids: IdForm) -> int:
    """1 to 100 (documented maximum; that more is refused is inferred)."""
    return _whole(value, MAX_PAGE_SIZE)


def _whole(value: str, most: int | None) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise ValueError("Enter a whole number.")
    number = int(value)
    if number < 1:
        raise ValueError("Must be 1 or more.")
    if most is not None and number > most:
        raise ValueError(f"Must be {most} or less.")
    return number


PAGING: Mapping[str, Kind] = {"page": page_number, "page_size": page_size}


def parse(raw: bytes, kinds: Mapping[str, Kind], ids: IdForm) -> dict[str, Any]:
    """The parameters by name; 422 for unknown, repeated or invalid ones."""
    wrong: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        kind = kinds.get(name)
        if kind is None:
            wrong[name] = ["Unknown query parameter."]
        elif name in found:
            wrong[name] = ["Given more than once."]
        else:
            try:
                found[name] = kind(value, ids)
            except ValueError as problem:
                found[name] = None
                wrong[name] = [str(problem)]
    if wrong:
        raise invalid(wrong)
    return found


class Where:
    """Collects conditions from the filters that were given."""

    def __init__(self, query: Mapping[str, Any]) -> None:
        self._query = query
        self._clauses: list[str] = []
        self.params: list[Any] = []

    def add(self, clause: str, *params: Any) -> None:
        """A condition that always holds."""
        self._clauses.append(clause)
        self.params.extend(params)

    def when(self, name: str, clause: str, change: Callable[[Any], Any] | None = None) -> None:
        """A condition with one value per `?`, if the parameter was given."""
        if name in self._query:
            value = self._query[name]
            self.add(clause, *[value if change is None else change(value)] * clause.count("?"))

    @property
    def sql(self) -> str:
        """The conditions joined; empty without any."""
        return " AND ".join(self._clauses)
