"""Counting while reading: what is kept grows with the groups of the answer, not with the rows read."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from pp_mcp.models import Assignment
from pp_mcp.operations.assignments import OUTSTANDING
from pp_mcp.reports.reading import NOT_KNOWN, People
from pp_mcp.text import quoted, word

STATES = ("not_started", "in_progress", "completed", "dropped", "exempted")
"""Known states, in the order they are counted; any other counts as `other`."""

_COLUMNS = (*STATES, "other", "overdue")
_WIDTH = len(_COLUMNS)

_BITS = 32
"""Of each number that is packed with others into one."""

Key = tuple[str, ...]


def is_late(assignment: Assignment, today: date) -> bool:
    """Overdue, as the API says; where it does not say, outstanding and due before today."""
    if assignment.is_overdue is not None:
        return assignment.is_overdue
    return assignment.state in OUTSTANDING and "" < (assignment.due_date or "") < today.isoformat()


class Counts:
    """Assignments of one group, by state."""

    __slots__ = ("numbers",)

    def __init__(self, numbers: list[int] | None = None) -> None:
        self.numbers = numbers or [0] * _WIDTH

    def add(self, assignment: Assignment, late: bool) -> None:
        """Counts one assignment."""
        self.numbers[_column(assignment)] += 1
        self.numbers[-1] += late

    def minus(self, others: list[Counts]) -> Counts:
        """What is left without these."""
        return Counts([mine - sum(other.numbers[at] for other in others) for at, mine in enumerate(self.numbers)])

    @property
    def total(self) -> int:
        return sum(self.numbers[:-1])

    @property
    def overdue(self) -> int:
        return self.numbers[-1]

    @property
    def completed(self) -> int:
        return self.numbers[2]

    @property
    def outstanding(self) -> int:
        """Not started or in progress."""
        return self.numbers[0] + self.numbers[1]

    @property
    def counted(self) -> int:
        """All that a completion rate is of: neither dropped nor exempted."""
        return self.total - self.numbers[3] - self.numbers[4]

    @property
    def rate(self) -> float | None:
        """Completed ÷ (all - dropped - exempted), to three digits; None where nothing is left to divide by."""
        return round(self.completed / self.counted, 3) if self.counted else None

    def columns(self, *, rates: bool, zeros: bool = False) -> dict[str, Any]:
        """The counts as an answer names them, with the rate only where it means something. `zeros`: the rarer states
        too where there are none."""
        shown: dict[str, Any] = {
            "total": self.total,
            "completed": self.completed,
            "outstanding": self.outstanding,
            "overdue": self.overdue,
        }
        for name, number in zip(("dropped", "exempted", "other"), self.numbers[3:6], strict=True):
            if number or zeros:
                shown[name] = number
        if rates:
            shown["completion_rate"] = self.rate
        return shown

    def states(self) -> dict[str, int]:
        """Every state that occurs, with its count."""
        return {name: number for name, number in zip(_COLUMNS[:-1], self.numbers, strict=False) if number}


def _column(assignment: Assignment) -> int:
    return STATES.index(assignment.state) if assignment.state in STATES else len(STATES)


_ONE = {
    (at, late): 1 << _BITS * at | late << _BITS * (_WIDTH - 1) for at in range(_WIDTH - 1) for late in (False, True)
}
"""One assignment in a column, overdue or not, as packed counts."""


def _unpacked(packed: int, count: int) -> list[int]:
    """The numbers packed into one, the last that was put in first."""
    return [packed >> _BITS * place & (1 << _BITS) - 1 for place in range(count)]


class Group(NamedTuple):
    """The assignments that share the values of the dimensions."""

    key: Key
    counts: Counts


class Groups:
    """Assignments counted by one to three dimensions.

    There may be nearly as many groups as rows (people by content items), so a group is kept as two numbers: its values
    packed into one, its counts into another. `people` says who reports to whom, needed where `manager` is among the
    dimensions.
    """

    def __init__(self, dimensions: list[str], today: date, people: People | None = None) -> None:
        self.dimensions = dimensions
        self.people = People() if people is None else people
        self.totals = Counts()
        self._today = today
        self._names: dict[str, tuple[str, str | None]] = {}
        self._numbered: dict[str, int] = {}
        self._values: list[str] = []
        self._packed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def restart(self) -> None:
        """Forgets what was counted."""
        self.totals = Counts()
        self._packed.clear()

    def add(self, assignment: Assignment) -> None:
        """Counts one assignment."""
        late = is_late(assignment, self._today)
        self.totals.add(assignment, late)
        key = 0
        for dimension in self.dimensions:
            key = key << _BITS | self._number(self._value(dimension, assignment))
        one = _ONE[_column(assignment), late]
        before = self._packed.get(key)
        # A group of one row, as most are where there are many, shares its number with all others like it.
        self._packed[key] = one if before is None else before + one

    def _number(self, value: str) -> int:
        number = self._numbered.get(value)
        if number is None:
            number = self._numbered[value] = len(self._values)
            self._values.append(value)
        return number

    def _value(self, dimension: str, assignment: Assignment) -> str:
        match dimension:
            case "user":
                return self._named(assignment.user.public_id, assignment.user.name, assignment.user.email)
            case "manager":
                manager = self.people.manager_of(assignment.user.public_id)
                if manager is None or isinstance(manager, str):
                    return manager or ""
                return self._named(manager.public_id, manager.name, manager.email)
            case "content_item":
                return self._named(assignment.content_item.public_id, assignment.content_item.name, None)
            case "content_type":
                return assignment.content_item.content_type
            case "state":
                return assignment.state
            case _:
                return (assignment.due_date or "")[:7]

    def _named(self, public_id: str, name: str, email: str | None) -> str:
        if public_id not in self._names:
            self._names[public_id] = (name, email)
        return public_id

    def top(self, count: int) -> list[Group]:
        """The first groups: the most overdue, then the largest; ties by key, so that two answers are alike."""
        return heapq.nsmallest(count, self._groups(), key=_rank)

    def all(self) -> list[Group]:
        """Every group, in the same order."""
        return sorted(self._groups(), key=_rank)

    def _groups(self) -> Iterator[Group]:
        for key, packed in self._packed.items():
            values = (self._values[number] for number in _unpacked(key, len(self.dimensions))[::-1])
            yield Group(tuple(values), Counts(_unpacked(packed, _WIDTH)))

    def named(self, key: Key) -> dict[str, Any]:
        """A group's key in words, and in what calls take: e-mails, and the ids of content items."""
        row: dict[str, Any] = {}
        for dimension, value in zip(self.dimensions, key, strict=True):
            if dimension in ("user", "manager"):
                name, email = self._names.get(value, (value or "none", None))
                row[dimension] = name or email or value
                row[f"{dimension}_email"] = email
                if email is None and value in self._names:
                    row[f"{dimension}_id"] = value
            elif dimension == "content_item":
                row[dimension] = self._names[value][0] or value
                row["content_item_id"] = value
            else:
                row[dimension] = value or "none"
        return row

    def phrase(self, key: Key) -> tuple[str, str]:
        """A group in a sentence about overdue assignments: a preposition, and who or what."""
        row = self.named(key)
        dimension, value = self.dimensions[0], key[0]
        if dimension == "manager" and value in ("", *NOT_KNOWN):
            return "", "people without a manager" if not value else f"people whose manager is {value}"
        if dimension == "due_month" and not value:
            return "", "those without a due date"
        labels = [quoted(row[name]) if name in _NAMES else word(row[name]) for name in self.dimensions]
        return _BEFORE[dimension], " / ".join(labels)


_NAMES = frozenset({"user", "manager", "content_item"})
"""Dimensions whose values are texts of the tenant, not words of the API."""


_BEFORE = {
    "user": "for",
    "manager": "under",
    "content_item": "of",
    "content_type": "of type",
    "state": "in state",
    "due_month": "due in",
}


def _rank(group: Group) -> tuple[int, int, Key]:
    return -group.counts.overdue, -group.counts.total, group.key
