"""What an administrator asks, how our tools answer it, and what a mirror of the API has to be read for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Reading = tuple[str, tuple[tuple[str, str], ...]]
"""A list of the API, and its filters."""

EVERY_ASSIGNMENT: Reading = ("list_assignments", ())
EVERYBODY: Reading = ("list_users", ())


@dataclass(frozen=True)
class Question:
    """One question; `lists` are what the mirror reads for it, and `writes` how many single writes it makes."""

    words: str
    tool: str
    arguments: dict[str, Any]
    lists: tuple[Reading, ...]
    writes: tuple[str, tuple[str, ...]] | None = None
    """For a write: the content item, and the people who shall have it."""
    again: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Ids:
    """Things of the tenant that the questions are about."""

    course: str
    group: str
    person: str
    fresh: tuple[str, str]
    """Two items that few have: one for us, one for the mirror."""
    people: tuple[str, ...]
    """Who shall have them."""


def questions(ids: Ids) -> list[Question]:
    """The questions, in the order they are asked."""
    course, group, person = ("content_item", ids.course), ("group", ids.group), ("user", ids.person)
    return [
        Question(
            "Who is overdue, by manager?",
            "report_assignments",
            {"group_by": ["manager"]},
            (EVERY_ASSIGNMENT, EVERYBODY),
        ),
        Question(
            "Who has done what: every person by every item?",
            "report_assignments",
            {"group_by": ["user", "content_item"]},
            (EVERY_ASSIGNMENT, EVERYBODY),
        ),
        Question("How many in which state?", "report_assignments", {"group_by": ["state"]}, (EVERY_ASSIGNMENT,)),
        Question("How many of which type?", "report_assignments", {"group_by": ["content_type"]}, (EVERY_ASSIGNMENT,)),
        Question(
            "Where does one course stand?",
            "report_assignments",
            {"content_item": ids.course, "group_by": ["state"]},
            (EVERY_ASSIGNMENT,),
        ),
        Question(
            "How many due in which month?", "report_assignments", {"group_by": ["due_month"]}, (EVERY_ASSIGNMENT,)
        ),
        Question("How many of which item?", "report_assignments", {"group_by": ["content_item"]}, (EVERY_ASSIGNMENT,)),
        Question(
            "Completion rate of one course in one group?",
            "report_assignments",
            {"content_item": ids.course, "group": ids.group, "group_by": ["state"]},
            (("list_users", (group,)), ("list_assignments", (course,))),
        ),
        Question(
            "What does nobody use or finish?",
            "report_content",
            {},
            (("list_content_items", ()), ("list_assignments", (("state", "completed"),))),
        ),
        Question("Who did not come?", "report_enrollments", {}, (("list_enrollments", ()),)),
        Question(
            "What is on one person's plate?",
            "get_learner_summary",
            {"user": ids.person},
            (("list_assignments", (person,)),),
        ),
        Question(
            f"Give an item to {len(ids.people):,} people",
            "bulk_assign_content",
            {"content_item": ids.fresh[0], "users": list(ids.people), "due_date": "2035-01-31"},
            (("list_assignments", (("content_item", ids.fresh[1]),)),),
            writes=(ids.fresh[1], ids.people),
        ),
    ]
