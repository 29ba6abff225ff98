"""Prompts for recurring chores: what to call, in which order, and where to stop and ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field


def weekly_overdue_digest(
    group: Annotated[str, Field(description="Only this group; leave out for everyone.")] = "",
) -> str:
    """Who is overdue this week, by manager, ready to send."""
    within = f" with group={group!r}" if group else ""
    return (
        "Write this week's digest of overdue learning. Call report_assignments with group_by=['manager'] and "
        f"is_overdue=true{within}, then with group_by=['content_item']. For the three managers with the most overdue "
        "assignments, call it again with is_overdue=true, that manager and group_by=['user']. Write one sentence with "
        "the totals, the managers with their counts, the worst items, and a short, friendly note to each of the three "
        "managers. If coverage is incomplete, say so. Change nothing."
    )


def onboard_new_hire(
    person: Annotated[str, Field(description="E-mail or full name of the new hire.")],
    content_item: Annotated[str, Field(description="The track or course to start with.")] = "",
    manager: Annotated[str, Field(description="The manager's e-mail or name.")] = "",
) -> str:
    """Set up a new hire: profile, groups, first assignments."""
    track = repr(content_item)
    if not content_item:
        track = "the onboarding track (find it with search_content content_type=['track'] and ask me which)"
    reports_to = f" Their manager is {manager!r}." if manager else ""
    return (
        f"Onboard {person!r}.{reports_to} 1. get_user. If there is no such person, tell me that people usually come "
        "from the HR sync, ask for e-mail and full name, and call create_user only if I agree. 2. list_groups. Ask me "
        f"which groups fit, then add_group_members. 3. assign_content with {track}, due in two weeks unless I say "
        "otherwise. 4. get_learner_summary. Tell me what was changed and how to undo it."
    )


def match_group_to_roster(
    group: Annotated[str, Field(description="The group's name.")],
    roster: Annotated[str, Field(description="The people, as e-mails or names.")],
) -> str:
    """Make a group's members match a list, after showing the difference."""
    return (
        f"Make the group {group!r} match this roster exactly:\n{roster}\n\nCall get_group first. If its source is not "
        "plusplus, warn me that it is rebuilt every night. Then call replace_group_members with the whole list. If a "
        "name is ambiguous or unknown, show me the candidates and wait. Show me who would be added and removed, and "
        "wait for my yes before you call again with the confirm_token and the flags that the preview names. Finish by "
        "telling me the undo call."
    )


def clean_up_catalogue(
    content_type: Annotated[str, Field(description="Only this type, such as article.")] = "",
    stale_days: Annotated[str, Field(description="Days without changes before an item counts as stale.")] = "365",
) -> str:
    """Find content that nobody uses, and archive what I choose."""
    only = f", content_type=['{content_type}']" if content_type else ""
    return (
        f"Clean up the catalogue. Call report_content with stale_days={stale_days}{only} and group what it finds: "
        "never assigned, finished by nobody, low ratings, stale. Suggest what to archive and why; keep items that are "
        "only stale but well used. Wait for my choice, then call archive_content_items with exactly those, show me the "
        "preview, and confirm only after my yes. Delete nothing: that loses the history."
    )


def chase_course(
    content_item: Annotated[str, Field(description="The course, track or other item.")],
    due_date: Annotated[str, Field(description="A new deadline for overdue people, YYYY-MM-DD.")] = "",
) -> str:
    """Follow up on a course: who is overdue, whom to tell, extend if wanted."""
    extend = (
        f" Then prepare bulk_update_assignments action='set_due_date' content_item={content_item!r} is_overdue=true "
        f"due_date='{due_date}', show me the preview and wait for my yes."
    )
    return (
        f"Follow up on {content_item!r}. Call report_assignments with content_item={content_item!r} and "
        "group_by=['manager'], then with group_by=['user'] and is_overdue=true. Tell me the completion rate and who is "
        f"overdue under which manager, and write them a three-sentence reminder.{extend if due_date else ''}"
    )


def overdue_board(
    group: Annotated[str, Field(description="Only this group; leave out for everyone.")] = "",
) -> str:
    """Who is overdue, by manager, as a board to look at and to extend or exempt from."""
    within = f" and group={group!r}" if group else ""
    return (
        "Show me the board of overdue training: call report_assignments once, with group_by=['manager'] and "
        f"is_overdue=true{within}. If you show its view, add one sentence with the totals and leave the rest to the "
        "view: I open rows, extend and exempt there. If not, show the managers as a table and ask which one to open; "
        "then call it again with that manager and group_by=['user'], for a person with user and "
        "group_by=['content_item']. To extend or exempt, call bulk_update_assignments with the same filters, show me "
        "the preview and wait for my yes."
    )


@dataclass(frozen=True)
class Prompt:
    """A prompt and the tools that it names. It is offered if all of them are served."""

    function: Callable[..., str]
    title: str
    tools: frozenset[str]


def _prompt(function: Callable[..., str], title: str, *tools: str) -> Prompt:
    return Prompt(function, title, frozenset(tools))


PROMPTS: tuple[Prompt, ...] = (
    _prompt(weekly_overdue_digest, "Weekly overdue digest", "report_assignments"),
    _prompt(
        onboard_new_hire,
        "Onboard a new hire",
        *("get_user", "create_user", "list_groups", "add_group_members"),
        *("search_content", "assign_content", "get_learner_summary"),
    ),
    _prompt(match_group_to_roster, "Make a group match a roster", "get_group", "replace_group_members"),
    _prompt(clean_up_catalogue, "Clean up the catalogue", "report_content", "archive_content_items"),
    _prompt(overdue_board, "Overdue board", "report_assignments", "bulk_update_assignments"),
    _prompt(chase_course, "Follow up on one course", "report_assignments", "bulk_update_assignments"),
)


def add_prompts(server: Any, tools: frozenset[str]) -> None:
    """Registers the prompts whose tools are all served."""
    for prompt in PROMPTS:
        if prompt.tools <= tools:
            server.prompt(title=prompt.title)(prompt.function)
