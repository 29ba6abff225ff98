"""Who was never assigned something: the people asked about, without those who have or had it."""

from __future__ import annotations

from typing import Any

from pp_mcp.declare import Call
from pp_mcp.errors import OutOfTime
from pp_mcp.models import AssignmentFacts
from pp_mcp.reports.answers import Found, ReportAnswer
from pp_mcp.reports.counting import Bucket, Counting
from pp_mcp.reports.joining import manager_columns
from pp_mcp.reports.reading import People, people_of, read_assignments
from pp_mcp.reports.selection import Selection
from pp_mcp.text import listed, plural, quoted


async def who_is_missing(call: Call, selection: Selection, top: int) -> ReportAnswer:
    """A row for each person of the selection who has no assignment of its content items in any state.

    Raises:
        OutOfTime: not everything could be read, so nobody can be said to lack it.
    """
    people = await people_of(call, selection) or People()
    items = {item: 1 << at for at, item in enumerate(selection.items)}
    had: dict[str, int] = {}

    def take(assignment: AssignmentFacts) -> None:
        person, bit = assignment.user.public_id, items.get(assignment.content_item.public_id, 0)
        had[person] = had.get(person, 0) | bit

    read = await read_assignments(call, selection, AssignmentFacts, take, had.clear, people=people)
    if not read.coverage.complete:
        raise OutOfTime(
            f"Who was never assigned it cannot be said: not everything could be read ({read.coverage.reason}). Ask for "
            "fewer people or items, or try again in a moment.",
            seconds=0,
        )
    counting = Counting({"user": "user_email"}, ("missing", "total"))
    for person, profile in people.profiles.items():
        lacks = len(items) - had.get(person, 0).bit_count()
        if lacks:
            counting.add([counting.named(profile.label)], (("missing", lacks),), person)

    def row(bucket: Bucket, whole: bool) -> dict[str, Any]:
        (person,) = bucket.key
        row = {**counting.labels(bucket.key), **manager_columns(people, person)}
        if whole or not people.profiles[person].is_active:
            row["is_active"] = people.profiles[person].is_active
        if whole or len(items) > 1:
            lacks = [item for item, bit in items.items() if not had.get(person, 0) & bit]
            row["missing"] = [selection.items[item].name for item in lacks]
        return row

    narrowed = [name for name, given in (("group", selection.group), ("manager", selection.manager)) if not given]
    named = listed([quoted(item.name) for item in selection.items.values()], 3)
    kind = {None: "", True: "active ", False: "deactivated "}[selection.is_active]
    asked = plural(len(people), f"{kind}person", f"{kind}people")
    asked += Selection(manager=selection.manager, group=selection.group).words
    said = f"{len(counting):,} of {asked} {'was' if len(counting) == 1 else 'were'} never assigned"
    asked_for = ["manager", "manager_email"] if selection.manager else []
    asked_for += ["is_active"] if selection.is_active is not None else []
    return Found(
        counting=counting,
        row=row,
        figures=lambda _: {},
        header=["user", "user_email", "manager", "manager_email", "is_active", "missing"],
        coverage=read.coverage,
        how=read.how,
        things="people",
        narrow=[*narrowed, "is_active"] if selection.is_active is None else narrowed,
        fixed=frozenset(asked_for),
    ).answer(
        top,
        summary=f"{said} {named if len(items) == 1 else f'all of {named}'}.",
        totals={"people": len(people), "missing": len(counting)},
    )
