"""Counting while reading: what is kept grows with the groups of the answer, not with the rows read."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from pp_mcp.models import Assignment, AssignmentFacts
from pp_mcp.operations.assignments import OUTSTANDING

_BITS = 40
"""Of each count that is packed with others into one number."""

_KEY_BITS = 24
"""Of each value's number in a packed key: two of them make a small number."""

_MASK, _KEY_MASK = (1 << _BITS) - 1, (1 << _KEY_BITS) - 1

Key = tuple[str, ...]
"""A bucket's values, one for each dimension; people and things are named by their ids."""

Counted = tuple[tuple[str, int], ...]
"""What one row adds to which columns."""


class Bucket(NamedTuple):
    """The rows that have the same values of the dimensions, counted."""

    key: Key
    counts: Counter[str]


class Label(NamedTuple):
    """What names a person or thing."""

    public_id: str
    name: str
    email: str | None = None


class Counting:
    """Rows counted by up to three dimensions, and the people among them.

    `dimensions` maps each to the field that an answer has beside its name: an e-mail, an id, or none. Buckets come in
    the order of two columns, `ranked`, the largest first. There may be nearly as many buckets as rows (people by
    content items), so a bucket is kept as two numbers: its values packed into one, its counts into another.
    """

    def __init__(self, dimensions: Mapping[str, str | None], ranked: tuple[str, str]) -> None:
        self.dimensions = dict(dimensions)
        self.names: dict[str, Label] = {}
        """Each person and thing, by id."""
        self.tells_people = True
        """Whether it is told how many people the rows are of."""
        self._columns = {name: at for at, name in enumerate(ranked)}
        self._numbered: dict[str, int] = {}
        self._values: list[str] = []
        self._ones: dict[int, int] = {}
        self._packed: dict[int, int] = {}
        self._pairs: set[int] = set()
        self._total = 0

    def __len__(self) -> int:
        return len(self._packed)

    def restart(self) -> None:
        """Forgets what was counted."""
        self._packed.clear()
        self._pairs.clear()
        self._total = 0

    def add(self, values: Iterable[str], counted: Counted, person: str | None = None) -> None:
        """Counts one row, of this person."""
        key = 0
        for value in values:
            key = key << _KEY_BITS | self._number(value)
        before = self._packed.get(key)
        is_new = person is not None and self._is_new(key, before, person)
        one = sum(amount << _BITS * self._place(name) for name, amount in counted)
        if is_new:
            one += 1 << _BITS * self._place(PEOPLE)
        # A bucket of one row, as most are where there are many, shares its number with all others like it.
        self._packed[key] = self._ones.setdefault(one, one) if before is None else before + one
        self._total += one

    def _number(self, value: str) -> int:
        number = self._numbered.get(value)
        if number is None:
            number = self._numbered[value] = len(self._values)
            self._values.append(value)
        return number

    def _is_new(self, key: int, before: int | None, person: str) -> bool:
        """Whether the bucket has no row of the person yet."""
        if "user" in self.dimensions:
            return before is None
        pair = key << _KEY_BITS | self._number(person)
        if pair in self._pairs:
            return False
        self._pairs.add(pair)
        return True

    def named(self, thing: Label) -> str:
        """The id of a person or thing, whose name and e-mail are kept."""
        return self.names.setdefault(thing.public_id, thing).public_id

    def _place(self, column: str) -> int:
        return self._columns.setdefault(column, len(self._columns))

    @property
    def totals(self) -> Counter[str]:
        """The counts of all rows."""
        return self.rest(())

    def rest(self, shown: Sequence[Bucket]) -> Counter[str]:
        """The counts of all buckets but these."""
        counts = self._unpacked(self._total)
        for bucket in shown:
            counts.subtract(bucket.counts)
        if self.tells_people:
            counts[PEOPLE] = len(self._people_but_in({self._packed_key(bucket.key) for bucket in shown}))
        return counts

    def _people_but_in(self, keys: set[int]) -> set[int]:
        if "user" not in self.dimensions:
            return {pair & _KEY_MASK for pair in self._pairs if pair >> _KEY_BITS not in keys}
        place = _KEY_BITS * list(reversed(self.dimensions)).index("user")
        return {key >> place & _KEY_MASK for key in self._packed if key not in keys}

    def _packed_key(self, key: Key) -> int:
        packed = 0
        for value in key:
            packed = packed << _KEY_BITS | self._numbered[value]
        return packed

    def first(self, most: int) -> list[Bucket]:
        """The first buckets; ties go by key, so that two answers are alike."""
        return [self._bucket(*one) for one in heapq.nsmallest(most, self._packed.items(), self._rank)]

    def every(self) -> Iterator[Bucket]:
        """All buckets, in the same order."""
        return (self._bucket(*one) for one in sorted(self._packed.items(), key=self._rank))

    def _rank(self, one: tuple[int, int]) -> tuple[int, int, Key]:
        key, packed = one
        return -(packed & _MASK), -(packed >> _BITS & _MASK), self._key(key)

    def _bucket(self, key: int, packed: int) -> Bucket:
        return Bucket(self._key(key), self._unpacked(packed))

    def _key(self, key: int) -> Key:
        places = range(len(self.dimensions) - 1, -1, -1)
        return tuple(self._values[key >> _KEY_BITS * place & _KEY_MASK] for place in places)

    def _unpacked(self, packed: int) -> Counter[str]:
        return Counter({name: packed >> _BITS * at & _MASK for name, at in self._columns.items()})

    def labels(self, key: Key) -> dict[str, Any]:
        """A bucket's key in words, and in what calls take: e-mails, and the ids of things."""
        row: dict[str, Any] = {}
        for (dimension, beside), value in zip(self.dimensions.items(), key, strict=True):
            if beside is None:
                row[dimension] = value or "none"
                continue
            label = self.names.get(value, Label(value, value or "none"))
            row[dimension] = label.name or label.email or value
            if beside.endswith("_id"):
                row[beside] = value
                continue
            row[beside] = label.email
            if label.email is None and value in self.names:
                row[f"{dimension}_id"] = value
        return row

    def header(self) -> list[str]:
        """The columns that every bucket's labels have."""
        return [name for dimension in self.dimensions.items() for name in dimension if name is not None]


PEOPLE = "people"
"""The column of distinct people."""

STATES = ("not_started", "in_progress", "completed", "dropped", "exempted")
"""Known states, in the order they are told; any other counts as `other`."""


def is_late(assignment: Assignment | AssignmentFacts, today: date) -> bool:
    """Overdue, as the API says; where it does not say, outstanding and due before today."""
    if assignment.is_overdue is not None:
        return assignment.is_overdue
    return assignment.state in OUTSTANDING and "" < (assignment.due_date or "") < today.isoformat()


def counted(assignment: AssignmentFacts, today: date) -> Counted:
    """The columns that one assignment counts in."""
    state = assignment.state if assignment.state in STATES else "other"
    columns = ("total", 1), (state, 1), ("overdue", int(is_late(assignment, today)))
    if state in OUTSTANDING and assignment.progress:
        return *columns, (_PROGRESS, round(min(max(assignment.progress, 0), 1) * _WHOLE))
    return columns


_PROGRESS = "progress"
_WHOLE = 1_000_000
"""Progress is summed up in millionths: the sum is then the same in whatever order the rows come."""


def outstanding(counts: Counter[str]) -> int:
    """Not started or in progress."""
    return sum(counts[state] for state in OUTSTANDING)


def base(counts: Counter[str]) -> int:
    """What a completion rate is of: all that was neither dropped nor exempted."""
    return counts["total"] - counts["dropped"] - counts["exempted"]


def average_progress(counts: Counter[str]) -> float | None:
    """The mean progress of what is outstanding, 0 to 1, to three digits; None where nothing is."""
    return round(counts[_PROGRESS] / _WHOLE / outstanding(counts), 3) if outstanding(counts) else None


@dataclass(frozen=True)
class Figures:
    """Which figures an answer about assignments gives: rates only where they mean something, and all of them only where
    all rows were read; `inactive` only where it is known who is; not how many people one person is; `progress` only
    where rows were read."""

    complete: bool
    rates: bool
    inactive: bool = False
    by_person: bool = False
    progress: bool = True

    def of(self, counts: Counter[str], *, whole: bool = False) -> dict[str, Any]:
        """Counts as an answer names them. `whole`: the rarer ones too where there are none."""
        shown: dict[str, Any] = {
            "total": counts["total"],
            **({PEOPLE: counts[PEOPLE]} if PEOPLE in counts and (whole or not self.by_person) else {}),
            "completed": counts["completed"],
            "outstanding": outstanding(counts),
            "overdue": counts["overdue"],
        }
        shown |= {
            name: counts[name] for name in ("in_progress", "dropped", "exempted", "other") if whole or counts[name]
        }
        if self.inactive and (whole or not self.by_person):
            shown["inactive"] = counts["inactive"]
        if self.complete and self.progress and (whole or outstanding(counts)):
            shown["average_progress"] = average_progress(counts)
        if self.complete and self.rates:
            of = base(counts)
            shown["completion_rate"] = round(counts["completed"] / of, 3) if of else None
        return shown
