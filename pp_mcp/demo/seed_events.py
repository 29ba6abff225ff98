"""The enrollments of the seed, and the assignments that come with them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pp_mcp.demo.seed_content import Item
from pp_mcp.demo.seed_history import Past, Row
from pp_mcp.demo.seed_people import Person

EVENT_START = 14 * 3600
"""Seconds after midnight (UTC) at which every event starts."""
CUTOFF = 2 * 3600
"""Seconds after the start of an event at which its self check-in closes."""

_REACT_STATUSES = ("checked_in",) * 24 + ("no_show",) * 9 + ("waitlisted",) * 6 + ("dropped",) * 3


@dataclass
class Enrollment:
    """An enrollment; `recorded` is the stored part of its status: enrolled, waitlisted or dropped."""

    user: int
    event: int
    recorded: str
    attendance_method: str | None
    checkin: str | None
    created: str
    row: Row | None


def make_enrollments(
    draws: random.Random, people: list[Person], items: list[Item], count: int, past: Past, room: int
) -> list[Enrollment]:
    """Up to `count` enrollments, of which at most `room` bring an assignment; nobody is in one event twice."""
    events = [index for index, item in enumerate(items) if item.starts is not None]
    made: list[Enrollment] = []
    for position, event in enumerate(events):
        share = -(-(count - len(made)) // (len(events) - position))
        starts = items[event].starts or 0
        able = [index for index, person in enumerate(people) if person.joined > max(starts, 0) + 1]
        statuses = list(_REACT_STATUSES) if items[event].name == "React Workshop" else []
        share = min(len(statuses) or share, count - len(made), len(able))
        for order, user in enumerate(draws.sample(able, share)):
            status = statuses[order] if statuses else _status(draws, starts)
            made.append(_enrollment(draws, people[user], user, items[event], event, status, past))
    for enrollment in made:
        if room <= 0:
            enrollment.row = None
        elif enrollment.row is not None:
            room -= 1
    return made


def _status(draws: random.Random, starts: int) -> str:
    draw = draws.random()
    if draw < 0.08:
        return "dropped"
    if draw < 0.16:
        return "waitlisted"
    return "checked_in" if starts > 0 and draws.random() < 0.78 else "no_show"


def _enrollment(
    draws: random.Random, person: Person, user: int, item: Item, event: int, status: str, past: Past
) -> Enrollment:
    starts = item.starts or 0
    earliest = max(1, min(starts + 30, item.created - 1, person.joined - 1))
    created = draws.randint(max(starts + 1, 1), max(earliest, starts + 1, 1))
    when = past.at(created, draws.randrange(86_400))
    recorded = status if status in ("dropped", "waitlisted") else "enrolled"
    attends = status == "checked_in" and not item.is_cancelled
    checkin = past.at(starts, EVENT_START - 600 + draws.randrange(1800)) if attends else None
    row: Row | None = None
    if status == "dropped" or (item.is_cancelled and status != "waitlisted"):
        gone = past.at(max(starts, 0) + 1 if created > max(starts, 0) + 1 else created, 86_399)
        row = past.row(user, event, "dropped", when, dropped_at=gone)
    elif attends:
        done = past.at(starts, EVENT_START + 60 * (item.minutes or 60))
        rating = past.rating(item) if draws.random() < 0.5 else None
        row = past.row(
            user,
            event,
            "completed",
            when,
            progress=1.0,
            is_success=1,
            started_at=checkin,
            completed_datetime=done,
            feedback_rating=rating,
        )
    elif status != "waitlisted":
        row = past.row(user, event, "not_started", when)
    method = None if status == "dropped" else draws.choice(("in_person", "in_person", "online"))
    return Enrollment(user, event, recorded, method, checkin, when, row)
