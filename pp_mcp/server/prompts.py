"""Prompts for chores that come back: what to call, in which order, and where to stop and ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field


def weekly_overdue_digest(
    group: Annotated[str, Field(description="Only this group; leave out for everybody.")] = "",
) -> str:
    """Who is late this week, by manager, ready to send."""
    narrowed = f" with group={group!r}" if group else ""
    return (
        "Write this week's digest of overdue learning. Call report_assignments with group_by=['manager'] and "
        f"is_overdue=true{narrowed}, then with group_by=['content_item']. For the three managers with the most, call "
        "it again with is_overdue=true, that manager and group_by=['user']. Write: one sentence of totals, the "
        "managers with their counts, the worst items, and a short, friendly note to each of the three managers. If "
        "coverage is not complete, say so. Change nothing."
    )


def onboard_new_hire(
    person: Annotated[str, Field(description="E-mail or full name of the new person.")],
    content_item: Annotated[str, Field(description="The track or course to start with.")] = "",
    manager: Annotated[str, Field(description="E-mail or name of the manager.")] = "",
) -> str:
    """Set up a new person: profile, groups, first assignments."""
    track = (
        f"{content_item!r}"
        if content_item
        else "the onboarding track (search_content content_type=['track'], ask which)"
    )
    boss = f" Their manager is {manager!r}." if manager else ""
    return (
        f"Onboard {person!r}.{boss} 1. get_user; if there is nobody, ask for e-mail and full name, say that people "
        "usually come from the HR sync, and only if I agree create_user. 2. list_groups; ask me which groups fit, "
        f"then add_group_members. 3. assign_content of {track}, due in two weeks unless I say otherwise. 4. "
        "get_learner_summary, and tell me what was changed and how to undo it."
    )


def match_group_to_roster(
    group: Annotated[str, Field(description="The group's name.")],
    roster: Annotated[str, Field(description="The people, as e-mails or names.")],
) -> str:
    """Make a group's members match a list, after a look at the difference."""
    return (
        f"Make the group {group!r} match this roster exactly:\n{roster}\n\nCall get_group first: if its source is not "
        "plusplus, warn me that it is rebuilt nightly. Then replace_group_members with the whole list. If names are "
        "unclear, show me the candidates and wait. Show me who would be added and removed, and wait for my yes; only "
        "then call again with the confirm_token and the flags the preview names. Finish with the undo call."
    )


def clean_up_catalogue(
    content_type: Annotated[str, Field(description="Only this type, such as article.")] = "",
    stale_days: Annotated[str, Field(description="Days without change that make an item stale.")] = "365",
) -> str:
    """Find what nobody uses, and archive what I agree to."""
    only = f", content_type=['{content_type}']" if content_type else ""
    return (
        f"Clean up the catalogue. Call report_content with stale_days={stale_days}{only}, and group what it finds: "
        "never assigned, finished by nobody, rated low, stale. Suggest what to archive and why; keep what is only "
        "stale but well used. Wait for my choice, then archive_content_items with just those, show me the preview, "
        "and confirm only after my yes. Delete nothing: that loses the history."
    )


def chase_course(
    content_item: Annotated[str, Field(description="The course, track or other item.")],
    due_date: Annotated[str, Field(description="A new deadline for those who are late, YYYY-MM-DD.")] = "",
) -> str:
    """Follow up one course: who is late, whom to tell, extend if wanted."""
    extend = (
        f" Then prepare bulk_update_assignments action='set_due_date' content_item={content_item!r} is_overdue=true "
        f"due_date='{due_date}', show me the preview and wait for my yes."
        if due_date
        else ""
    )
    return (
        f"Follow up {content_item!r}. Call report_assignments with content_item={content_item!r} and "
        "group_by=['manager'], then with group_by=['user'] and is_overdue=true. Tell me the completion rate, who is "
        f"late under whom, and write a reminder of three sentences to the late people.{extend}"
    )


@dataclass(frozen=True)
class Prompt:
    """A chore in words, and the tools that it names: it is offered where all of them are served."""

    function: Callable[..., str]
    title: str
    tools: frozenset[str]


PROMPTS: tuple[Prompt, ...] = (
    Prompt(weekly_overdue_digest, "Weekly overdue digest", frozenset({"report_assignments"})),
    Prompt(
        onboard_new_hire,
        "Onboard a new hire",
        frozenset(
            {
                "get_user",
                "create_user",
                "list_groups",
                "add_group_members",
                "search_content",
                "assign_content",
                "get_learner_summary",
            }
        ),
    ),
    Prompt(match_group_to_roster, "Make a group match a roster", frozenset({"get_group", "replace_group_members"})),
    Prompt(
        clean_up_catalogue,
        "Clean up the catalogue",
        frozenset({"report_content", "archive_content_items"}),
    ),
    Prompt(chase_course, "Chase one course", frozenset({"report_assignments", "bulk_update_assignments"})),
)


def add_prompts(server: Any, tools: frozenset[str]) -> None:
    """Registers the prompts of which all tools are served."""
    for prompt in PROMPTS:
        if prompt.tools <= tools:
            server.prompt(title=prompt.title)(prompt.function)
