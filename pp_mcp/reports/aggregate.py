"""Counting while reading: what is kept grows with the groups of the answer, not with the rows read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pp_mcp.models import Assignment, User

STATES = ("not_started", "in_progress", "completed", "dropped", "exempted")
"""Known states, in the order they are counted; any other counts as `other`."""

_COLUMNS = (*STATES, "other", "overdue")

Key = tuple[str, ...]


class Counts:
    """Assignments of one group, by state."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = [0] * len(_COLUMNS)

    def add(self, assignment: Assignment) -> None:
        """Counts one assignment."""
        state = assignment.state
        self._numbers[STATES.index(state) if state in STATES else len(STATES)] += 1
        if assignment.is_overdue:
            self._numbers[-1] += 1

    def merge(self, other: Counts) -> None:
        """Adds what another group counted."""
        self._numbers = [mine + theirs for mine, theirs in zip(self._numbers, other._numbers, strict=True)]

    @property
    def total(self) -> int:
        return sum(self._numbers[:-1])

    @property
    def overdue(self) -> int:
        return self._numbers[-1]

    @property
    def completed(self) -> int:
        return self._numbers[2]

    @property
    def outstanding(self) -> int:
        """Not started or in progress."""
        return self._numbers[0] + self._numbers[1]

    @property
    def rate(self) -> float | None:
        """Completed ÷ (all - dropped - exempted), to three digits; None where nothing is left to divide by."""
        counted = self.total - self._numbers[3] - self._numbers[4]
        return round(self.completed / counted, 3) if counted else None

    def columns(self, *, rates: bool, zeros: bool = False) -> dict[str, Any]:
        """The counts as an answer names them; the rate only where everything was read. `zeros`: the rarer states too where
        there are none."""
        shown: dict[str, Any] = {
            "total": self.total,
            "completed": self.completed,
            "outstanding": self.outstanding,
            "overdue": self.overdue,
        }
        for name, number in zip(("dropped", "exempted", "other"), self._numbers[3:6], strict=True):
            if number or zeros:
                shown[name] = number
        if rates:
            shown["completion_rate"] = self.rate
        return shown

    def states(self) -> dict[str, int]:
        """Every state that occurs, with its count."""
        return {name: number for name, number in zip(_COLUMNS[:-1], self._numbers, strict=False) if number}


@dataclass
class Labels:
    """What people and content items are called, as seen while reading."""

    people: dict[str, tuple[str, str | None]] = field(default_factory=dict[str, "tuple[str, str | None]"])
    items: dict[str, str] = field(default_factory=dict[str, str])


class Groups:
    """Assignments counted by one or more dimensions.

    `managers` is each person's manager (id, name, e-mail), needed where `manager` is among the dimensions.
    """

    def __init__(self, dimensions: list[str], managers: Mapping[str, User] | None = None) -> None:
        self.dimensions = dimensions
        self.labels = Labels()
        self.totals = Counts()
        self.groups: dict[Key, Counts] = {}
        self.profiles = managers or {}

    def restart(self) -> None:
        """Forgets what was counted."""
        self.totals = Counts()
        self.groups = {}

    def add(self, assignment: Assignment) -> None:
        """Counts one assignment."""
        self.totals.add(assignment)
        key = tuple(self._value(dimension, assignment) for dimension in self.dimensions)
        counts = self.groups.get(key)
        if counts is None:
            counts = self.groups[key] = Counts()
        counts.add(assignment)

    def _value(self, dimension: str, assignment: Assignment) -> str:
        if dimension == "user":
            self.labels.people[assignment.user.public_id] = (assignment.user.name, assignment.user.email)
            return assignment.user.public_id
        if dimension == "manager":
            profile = self.profiles.get(assignment.user.public_id)
            if profile is None or profile.manager is None:
                return ""
            self.labels.people[profile.manager.public_id] = (profile.manager.name, profile.manager.email)
            return profile.manager.public_id
        if dimension == "content_item":
            self.labels.items[assignment.content_item.public_id] = assignment.content_item.name
            return assignment.content_item.public_id
        if dimension == "content_type":
            return assignment.content_item.content_type or ""
        if dimension == "state":
            return assignment.state
        return (assignment.due_date or "")[:7]

    def ordered(self) -> list[tuple[Key, Counts]]:
        """Most overdue first, then the largest; ties by key, so that two answers are alike."""
        return sorted(self.groups.items(), key=lambda pair: (-pair[1].overdue, -pair[1].total, pair[0]))

    def named(self, key: Key) -> dict[str, Any]:
        """A group's key in words and ids."""
        row: dict[str, Any] = {}
        for dimension, value in zip(self.dimensions, key, strict=True):
            if dimension in ("user", "manager"):
                name, email = self.labels.people.get(value, ("none", None))
                row[dimension] = name if value else "none"
                if value:
                    row[f"{dimension}_email"] = email
            elif dimension == "content_item":
                row[dimension] = self.labels.items.get(value, value)
                row["content_item_id"] = value
            else:
                row[dimension] = value or "none"
        return row
