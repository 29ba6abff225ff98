"""The assignments of the seed: who got what, and how it went."""

from __future__ import annotations

import random
from bisect import bisect
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

from pp_mcp.demo.ids import Mint
from pp_mcp.demo.seed_content import ASSIGNABLE, Item
from pp_mcp.demo.seed_names import DROP_REASONS
from pp_mcp.demo.seed_people import Group, Person

Row = list[Any]
"""Values in the order of COLUMNS, without the id."""

COLUMNS = (
    "public_id",
    "user_id",
    "content_item_id",
    "state",
    "progress",
    "score",
    "is_success",
    "due_date",
    "started_at",
    "completed_datetime",
    "dropped_at",
    "drop_reason",
    "exempted_at",
    "expires_at",
    "feedback_rating",
    "attempt",
    "created",
)
_AT = {name: position for position, name in enumerate(COLUMNS)}
CREATED = _AT["created"]

_TERMS = (14, 21, 30, 30, 45, 60, 90)
_HORIZON = 720
_YEAR = 365


class Past:
    """Makes rows and times relative to today; days are cached, since there are far fewer days than rows."""

    def __init__(self, draws: random.Random, today: date, new_id: Mint) -> None:
        self.draws = draws
        self._today = today
        self._new_id = new_id
        self._days: dict[int, str] = {}

    def day(self, ago: int) -> str:
        """The date that many days ago (negative: in the future), `YYYY-MM-DD`."""
        found = self._days.get(ago)
        if found is None:
            found = self._days[ago] = (self._today - timedelta(days=ago)).isoformat()
        return found

    def at(self, ago: int, second: int) -> str:
        """A second of a day, in stored form."""
        minute, second = divmod(second, 60)
        return f"{self.day(ago)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}.000000Z"

    def row(self, user: int, item: int, state: str, created: str, **values: Any) -> Row:
        """A row of an assignment (user and item as indexes, from 0)."""
        row: Row = [None] * len(COLUMNS)
        row[0], row[1], row[2], row[3], row[4] = self._new_id(), user + 1, item + 1, state, 0.0
        row[_AT["attempt"]] = 1
        row[CREATED] = created
        for name, value in values.items():
            row[_AT[name]] = value
        return row

    def rating(self, item: Item) -> int:
        """Feedback from 1 to 5 around the item's average."""
        return min(5, max(1, round(self.draws.gauss(item.rating, 0.8))))

    def story(self, user: int, item: int, thing: Item, ago: int, leaving: float, attempt: int) -> Row:
        """An assignment made that many days ago, and how it went; `leaving` is the person's lack of zeal."""
        draws = self.draws
        created = self.at(ago, draws.randrange(86_400))
        term = 30 if thing.is_compliance else draws.choice(_TERMS)
        values: dict[str, Any] = {"attempt": attempt}
        if thing.is_compliance or draws.random() < 0.8:
            values["due_date"] = self.day(ago - term)
        if thing.is_compliance:
            values["expires_at"] = self.at(ago - _YEAR, 0)
        took = 1 + int(term * 1.15 * draws.random())
        fate = draws.random()
        if took < ago and fate < thing.finish - leaving:
            state = "completed"
            self._finish(values, thing, ago, took)
        elif took < ago and fate > 0.97:
            state = "exempted"
            values["exempted_at"] = self.at(ago - took, draws.randrange(86_400))
        elif took < ago and fate > 0.92:
            state = "dropped"
            values["dropped_at"] = self.at(ago - took, draws.randrange(86_400))
            values["drop_reason"] = draws.choice(DROP_REASONS)
        elif ago > 2 and draws.random() < 0.45:
            state = "in_progress"
            values["started_at"] = self.at(draws.randint(1, ago - 1), draws.randrange(86_400))
            values["progress"] = draws.randint(1, 19) / 20
        else:
            state = "not_started"
        return self.row(user, item, state, created, **values)

    def _finish(self, values: dict[str, Any], thing: Item, ago: int, took: int) -> None:
        draws = self.draws
        values["progress"] = 1.0
        values["is_success"] = 1
        values["started_at"] = self.at(ago - draws.randint(1, took), draws.randrange(36_000))
        values["completed_datetime"] = self.at(ago - took, 36_000 + draws.randrange(50_000))
        if thing.content_type == "course":
            score = draws.randint(55, 100) / 100
            values["score"] = score
            values["is_success"] = int(score >= 0.7)
        if draws.random() < 0.4:
            values["feedback_rating"] = self.rating(thing)


def make_history(people: list[Person], items: list[Item], groups: list[Group], count: int, past: Past) -> list[Row]:
    """`count` assignments (fewer if they do not fit), with at most one outstanding per person and item."""
    return _Historian(people, items, groups, count, past).write()


class _Historian:
    def __init__(self, people: list[Person], items: list[Item], groups: list[Group], count: int, past: Past) -> None:
        self._people = people
        self._items = items
        self._count = count
        self._past = past
        self._open = [index for index, item in enumerate(items) if item.content_type in ASSIGNABLE and item.appeal > 0]
        self._allowed = {
            index: sorted({member for group in items[index].groups for member in groups[group].members})
            for index in self._open
            if items[index].groups
        }
        self._leaving = [past.draws.triangular(-0.12, 0.35, 0.02) for _ in people]
        self._made: list[Row] = []
        # Per pair: the last attempt, and how many days ago the next could have begun (None: it is outstanding).
        self._last: dict[tuple[int, int], tuple[int, int | None]] = {}

    def write(self) -> list[Row]:
        if self._count > 0 and self._open:
            self._everyone()
            self._at_random()
        return self._made

    def _add(self, user: int, item: int, ago: int) -> None:
        attempt = self._last.get((user, item), (0, None))[0] + 1
        row = self._past.story(user, item, self._items[item], ago, self._leaving[user], attempt)
        self._made.append(row)
        ended = row[_AT["completed_datetime"]] or row[_AT["dropped_at"]] or row[_AT["exempted_at"]]
        if ended is None:
            self._last[user, item] = (attempt, None)
            return
        today = datetime.fromisoformat(self._past.day(0)).replace(tzinfo=UTC)
        self._last[user, item] = (attempt, (today - datetime.fromisoformat(ended[:10] + "T00:00:00Z")).days - 1)

    def _everyone(self) -> None:
        """Security 101 for everyone, once a year, if there is room for it."""
        if self._count < 4 * len(self._people) or 0 not in self._open:
            return
        draws = self._past.draws
        for user, person in enumerate(self._people):
            for ago in (400, 33):
                since = ago + draws.randint(0, 12)
                free = self._last.get((user, 0), (0, since))[1]
                if since < min(person.joined, self._items[0].created) and free is not None and free >= since:
                    if ago == 400 or person.is_active:
                        self._add(user, 0, since)
                elif (user, 0) not in self._last and person.is_active and ago == 33 and person.joined > 1:
                    self._add(user, 0, person.joined - 1)

    def _at_random(self) -> None:
        draws = self._past.draws
        weights = list(accumulate(self._items[index].appeal for index in self._open))
        tries = 40 * self._count
        while len(self._made) < self._count and tries:
            tries -= 1
            item = self._open[bisect(weights, draws.random() * weights[-1])]
            allowed = self._allowed.get(item)
            user = draws.choice(allowed) if allowed else int(draws.random() * len(self._people))
            reach = self._reach(user, item)
            if reach > 1:
                self._add(user, item, 1 + int((reach - 1) * draws.random() ** 1.6))

    def _reach(self, user: int, item: int) -> int:
        """The most days ago at which the next assignment of the pair may begin; 0 for none."""
        limit = min(self._people[user].joined, self._items[item].created, _HORIZON)
        attempt, free = self._last.get((user, item), (0, limit))
        return 0 if free is None or attempt >= 3 else min(limit, free)
