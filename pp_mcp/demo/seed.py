"""Fills a new tenant: the same data for the same seed, sizes and day."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from datetime import date
from operator import itemgetter
from typing import Any

from pp_mcp.demo import schema
from pp_mcp.demo.ids import Mint
from pp_mcp.demo.seed_content import Item, make_items
from pp_mcp.demo.seed_events import CUTOFF, EVENT_START, Enrollment, make_enrollments
from pp_mcp.demo.seed_history import COLUMNS, CREATED, Past, Row, make_history
from pp_mcp.demo.seed_names import CHANNELS
from pp_mcp.demo.seed_people import Group, Person, make_groups, make_people
from pp_mcp.demo.store import Store

# This many assignments per person and item fit comfortably, beside the items that nobody gets.
_DENSITY = 0.45


def plant(store: Store, *, people: int, groups: int, content_items: int, assignments: int, enrollments: int) -> None:
    """Make the tables and fill them, in one transaction: an interrupted seed leaves nothing."""
    today = date.fromisoformat(store.today())
    draws = random.Random(f"seed/{store.seed}")
    past = Past(draws, today, Mint(store.ids, f"rows/{store.seed}"))
    if content_items:
        content_items = max(content_items, math.ceil(assignments / (people * _DENSITY)))
    persons = make_people(draws, people)
    teams = make_groups(draws, persons, groups)
    items = make_items(draws, content_items, teams, today)
    registered = make_enrollments(draws, persons, items, enrollments, past, room=assignments // 2)
    rows = [enrollment.row for enrollment in registered if enrollment.row is not None]
    rows += make_history(persons, items, teams, assignments - len(rows), past)
    facts = {
        "version": schema.VERSION,
        "seed": store.seed,
        "ids": store.ids,
        "opened": 1,
        "seeded_on": today.isoformat(),
        "people": people,
        "groups": groups,
        "content_items": len(items),
        "assignments": len(rows),
        "enrollments": len(registered),
    }
    with store.writing():
        _script(store, schema.TABLES)
        _fill(store, "meta", "key, value", [(key, str(value)) for key, value in facts.items()])
        _people(store, persons, past)
        _groups(store, teams, past)
        _items(store, items, past)
        _history(store, rows, registered)
        _script(store, schema.INDEXES)


def _script(store: Store, script: str) -> None:
    # Not executescript, which would commit the transaction first; a trigger's body contains semicolons.
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if line.rstrip().endswith(";") and ("TRIGGER" not in statement or line.startswith("END;")):
            store.connection.execute(statement)
            statement = ""


def _fill(store: Store, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    marks = ", ".join("?" * len(columns.split(", ")))
    store.connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def _people(store: Store, people: list[Person], past: Past) -> None:
    columns = "id, public_id, email, email_key, name, name_key, role, employee_id, is_active, manager_id, date_joined"
    # A manager may come after their reports in the list.
    store.connection.execute("PRAGMA defer_foreign_keys = ON")
    rows = [
        (
            index + 1,
            store.new_id(),
            person.email,
            person.email.casefold(),
            person.name,
            person.name.casefold(),
            person.role,
            person.employee_id,
            person.is_active,
            None if person.manager is None else person.manager + 1,
            past.at(person.joined, 9 * 3600),
        )
        for index, person in enumerate(people)
    ]
    _fill(store, "users", columns, rows)


def _groups(store: Store, groups: list[Group], past: Past) -> None:
    columns = "id, public_id, name, name_key, source, source_key, created, modified"
    rows = [
        (
            index + 1,
            store.new_id(),
            group.name,
            group.name.casefold(),
            group.source,
            group.source.casefold(),
            past.at(group.created, 36_000),
            past.at(group.modified, 40_000 + index),
        )
        for index, group in enumerate(groups)
    ]
    _fill(store, "groups", columns, rows)
    members = [(index + 1, member + 1) for index, group in enumerate(groups) for member in group.members]
    _fill(store, "group_members", "group_id, user_id", members)


def _items(store: Store, items: list[Item], past: Past) -> None:
    _fill(
        store,
        "channels",
        "id, public_id, name",
        [(index + 1, store.new_id(), name) for index, name in enumerate(CHANNELS)],
    )
    columns = (
        "id, public_id, name, name_key, content_type, description, is_archived, is_hidden, is_completable, "
        "is_self_assignable, duration_minutes, channel_id, event_starts_at, checkin_closes_at, is_cancelled, "
        "created, modified"
    )
    rows = [
        (
            index + 1,
            store.new_id(),
            item.name,
            item.name.casefold(),
            item.content_type,
            item.description,
            item.is_archived,
            item.is_hidden,
            item.is_completable,
            item.is_self_assignable,
            item.minutes,
            item.channel + 1,
            None if item.starts is None else past.at(item.starts, EVENT_START),
            past.at(item.starts, EVENT_START + CUTOFF) if item.starts is not None and item.has_cutoff else None,
            item.is_cancelled,
            past.at(item.created, 30_000),
            past.at(item.modified, 50_000),
        )
        for index, item in enumerate(items)
    ]
    _fill(store, "content_items", columns, rows)
    links = [(index + 1, group + 1) for index, item in enumerate(items) for group in item.groups]
    _fill(store, "item_groups", "content_item_id, group_id", links)


def _history(store: Store, rows: list[Row], enrollments: list[Enrollment]) -> None:
    # Rowids follow the order of creation, because "newest first" is read off them.
    rows.sort(key=itemgetter(CREATED, 0))
    _fill(store, "assignments", "id, " + ", ".join(COLUMNS), ((index, *row) for index, row in enumerate(rows, 1)))
    linked = {row[0]: index for index, row in enumerate(rows, 1)}
    enrollments.sort(key=lambda enrollment: (enrollment.created, enrollment.event, enrollment.user))
    _fill(
        store,
        "enrollments",
        "public_id, user_id, event_id, assignment_id, recorded, attendance_method, checkin_datetime, created",
        [
            (
                store.new_id(),
                enrollment.user + 1,
                enrollment.event + 1,
                None if enrollment.row is None else linked[enrollment.row[0]],
                enrollment.recorded,
                enrollment.attendance_method,
                enrollment.checkin,
                enrollment.created,
            )
            for enrollment in enrollments
        ],
    )
