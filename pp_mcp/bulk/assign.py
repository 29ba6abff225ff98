"""Content items to many people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from pp_mcp.answers import Named, ToolCall
from pp_mcp.api.walk import PAGE_SIZE, drain
from pp_mcp.bulk.run import EXAMPLES, MOST, NAMED, Undo, carry_out, cost, told, too_many
from pp_mcp.declare import Call, Effect, Reference, operation
from pp_mcp.errors import InvalidArgument, OutOfTime
from pp_mcp.models import Assignment, AssignmentFacts, ContentItem, Group, User
from pp_mcp.operations import params
from pp_mcp.operations.assignments import OUTSTANDING, was_there
from pp_mcp.plan import Done, ManyPlan, Rest
from pp_mcp.reports.reading import People, read_assignments
from pp_mcp.reports.selection import Selection
from pp_mcp.text import listed, person, plural, quoted, word

Had = dict[str, dict[str, tuple[str, str | None]]]
"""State and due date of each assignment of an item, by its id, by its person's id."""


@dataclass(frozen=True)
class Share:
    """One content item for one person."""

    user: User
    item: ContentItem

    @property
    def public_id(self) -> str:
        """The person's."""
        return self.user.public_id


@dataclass
class Audience:
    """The people meant, in words who they are, and what they have and had of each item, by its id."""

    people: list[User]
    whose: str
    had: dict[str, Had]

    def had_by(self, share: Share) -> dict[str, tuple[str, str | None]]:
        """State and due date of what the person has and had of the item, by the assignment's id."""
        return self.had[share.item.public_id].get(share.user.public_id, {})


_LEFT_OUT = {
    "outstanding": ("has it already", "have it already"),
    "completed": ("has completed it", "have completed it"),
    "exempted": ("is exempted from it", "are exempted from it"),
    "dropped": ("had it dropped", "had it dropped"),
    "inactive": ("is inactive", "are inactive"),
}
"""Why somebody does not get it: what is said of one and of several."""

_WHOSE = {"group": "in the group", "manager": "reporting to"}

UsersArg = Annotated[list[User], Reference("user"), Field(description="E-mails, full names or ids.", max_length=MOST)]


@operation(toolset="bulk", title="Assign training to many people", effect=Effect.DESTROY, keeps=Audience)
async def bulk_assign_content(
    call: Call,
    content_item: params.SomeItemsArg,
    users: UsersArg | None = None,
    group: params.GroupArg | None = None,
    manager: params.ManagerArg | None = None,
    due_date: params.DueArg | None = None,
    expires_at: params.ExpiryArg | None = None,
    reassign: Annotated[bool, Field(description="true: also who completed, dropped or was exempted.")] = False,
) -> ManyPlan:
    """Assign (roll out) a course or other training to many people who all must take it: the members of a group, team or
    cohort, everyone who reports to a manager, or a list of e-mails. Previews who gets it, has it or cannot. May notify
    them. Calling again goes on where it stopped. For one person use assign_content."""
    items = list({one.public_id: one for one in content_item}.values())
    archived = [quoted(one.name) for one in items if one.is_archived]
    if archived:
        raise InvalidArgument(
            f"{listed(archived)} {'is' if len(archived) == 1 else 'are'} archived: unarchive_content_items first. "
            "Nothing was changed.",
            field_errors={"content_item": ["is archived"]},
        )
    audience = call.kept or await _audience(call, items, users, group, manager)
    fresh: list[Share] = []
    left_out: dict[str, dict[str, list[User]]] = {}
    for item in items:
        for one in audience.people:
            share = Share(one, item)
            why = _why_not(one, [state for state, _ in audience.had_by(share).values()], reassign)
            if why is None:
                fresh.append(share)
            else:
                left_out.setdefault(item.public_id, {}).setdefault(why, []).append(one)
    day = due_date.isoformat() if due_date else None
    dates = {name: value for name, value in (("due_date", day), ("expires_at", expires_at)) if value is not None}
    what, due = listed([quoted(one.name) for one in items], 3), f", due {day}" if day else ", with no due date"

    def counted(shares: list[Share]) -> str:
        people = plural(len({one.public_id for one in shares}), "person", "people")
        return people if len(items) == 1 else f"{people} ({plural(len(shares), 'assignment')})"

    async def apply() -> Done:
        created: dict[str, Share] = {}
        missed: set[str] = set()

        async def write(share: Share) -> bool:
            body = {"user_id": share.user.public_id, "content_item_id": share.item.public_id, **dates}
            written = await call.api.write("assign_content", Assignment, body)
            made, had = written.value, audience.had_by(share)
            known = made.public_id in had
            # A continuation starts from what is there by now.
            audience.had[share.item.public_id][share.user.public_id] = {
                **had,
                made.public_id: (made.state, made.due_date),
            }
            if known or was_there(written):
                return False
            created[made.public_id] = share
            missed.update(name for name, value in dates.items() if not params.same_moment(getattr(made, name), value))
            return True

        run = await carry_out(call, fresh, lambda one: _label(one, len(items)), write)
        done = told(
            run,
            f"Assigned {what} to {counted(list(created.values()))}{due}.",
            already=sum(len(why.get("outstanding", [])) for why in left_out.values()),
            so="already had it" if len(items) == 1 else "were there already",
            undo=_undo(sorted(created)),
            changes={"state": ["", "not_started"], **({"due_date": ["", day]} if day else {})},
            rest=rest(run.left) if run.left else None,
        )
        if not missed:
            return done
        note = f" The API did not set {listed(sorted(missed))} for all of them: bulk_update_assignments can."
        return replace(done, summary=done.summary + note, not_applied=sorted(missed))

    def rest(those: list[Share]) -> Rest:
        """The call for the people with something left; what they got by then is outstanding already."""
        people = list({one.public_id: one.user for one in those}.values())
        values = {"content_item": items, "users": people, "due_date": due_date, "expires_at": expires_at}
        arguments = {
            **values,
            "content_item": [one.public_id for one in items],
            "users": [one.public_id for one in people],
            "due_date": day,
        }
        again = {"reassign": True} if reassign else {}
        return Rest(
            arguments={name: value for name, value in arguments.items() if value is not None} | again,
            values={name: value for name, value in values.items() if value is not None} | again,
            kept=Audience(people, "", audience.had),
        )

    return ManyPlan(
        target=_target(items),
        summary=f"Assign {what} to {counted(fresh)}{audience.whose}{due}.",
        apply=apply,
        state=sorted([one.public_id, one.item.public_id] for one in fresh),
        effects=[
            *(
                line
                for item in items
                for line in _effects(item, len(items), fresh, left_out.get(item.public_id, {}), audience, day)
            ),
            cost(len(fresh)),
        ],
        reach=len(fresh),
        affected=[
            {"public_id": one.public_id, "name": _label(one, len(items)), "from": "", "to": day or "not_started"}
            for one in fresh[:NAMED]
        ],
        affected_total=len(fresh),
        kept=audience,
        unchanged=None if fresh else _nobody(what, audience.whose, left_out),
        check=ToolCall(tool="list_assignments", arguments={"created_gte": call.today.isoformat()})
        if len(items) > 1
        else ToolCall(tool="report_assignments", arguments={"content_item": items[0].public_id, "group_by": ["state"]}),
    )


def _target(items: list[ContentItem]) -> Named:
    if len(items) > 1:
        return Named(kind="content_items", name=plural(len(items), "content item"))
    return Named(kind=items[0].content_type or "content_item", public_id=items[0].public_id, name=items[0].name)


def _label(share: Share, items: int) -> str:
    return (
        share.user.label
        if items == 1
        else f"{quoted(share.item.name)} for {person(share.user.label, share.user.email)}"
    )


def _why_not(user: User, states: list[str], reassign: bool) -> str | None:
    """Why a person does not get the item, which they have or had in these states; None where they do."""
    if any(state in OUTSTANDING for state in states):
        return "outstanding"
    if user.is_active is False:
        return "inactive"
    if not states or reassign:
        return None
    return next((state for state in _LEFT_OUT if state in states), states[0])


def _effects(
    item: ContentItem,
    items: int,
    fresh: list[Share],
    left_out: dict[str, list[User]],
    audience: Audience,
    day: str | None,
) -> list[str]:
    """What a preview says of one item: who gets it, and who does not and why."""
    had = audience.had[item.public_id]
    gets = [one.user for one in fresh if one.item is item]
    of, most = (f"{quoted(item.name)}: ", max(NAMED // items, 3)) if items > 1 else ("", NAMED)
    words = [f"{of}{'gets' if len(gets) == 1 else 'get'} it: {_names(gets, EXAMPLES) or 'nobody'}."]
    for why in sorted(left_out, key=[*_LEFT_OUT, *left_out].index):
        hint = "" if why in ("outstanding", "inactive") else " (reassign=true assigns it again)"
        words.append(f"{of}{_counted(left_out[why], why)}, left out{hint}: {_names(left_out[why], most)}.")
    there = [had[one.public_id].values() for one in left_out.get("outstanding", [])]
    other = sum(all(due != day for state, due in one if state in OUTSTANDING) for one in there)
    if day and other:
        words.append(f"{of}{other:,} of those who have it already {'has' if other == 1 else 'have'} another due date.")
    again = sum(one.public_id in had for one in gets)
    if again:
        words.append(f"{of}{plural(again, 'person gets', 'people get')} it again, from zero.")
    if item.content_type == "event":
        words.append(f"{quoted(item.name)} is an event: assigning it enrolls nobody.")
    return [word[:1].upper() + word[1:] for word in words]


def _counted(people: list[User], why: str) -> str:
    said = _LEFT_OUT.get(why, (f"has it as {word(why)}", f"have it as {word(why)}"))
    return f"{len(people):,} {said[len(people) > 1]}"


def _names(people: list[User], most: int) -> str:
    return listed([person(one.label, one.email) for one in people], most)


def _nobody(what: str, whose: str, left_out: dict[str, dict[str, list[User]]]) -> str:
    """Why nobody gets anything."""
    every: dict[str, list[User]] = {}
    for by_reason in left_out.values():
        for why, people in by_reason.items():
            every.setdefault(why, []).extend(people)
    parts = [_counted(every[why], why) for why in sorted(every, key=[*_LEFT_OUT, *every].index)]
    return f"There is nobody{whose} to assign {what} to{f': {listed(parts, 8)}' if parts else ''}."


async def _audience(
    call: Call, items: list[ContentItem], users: list[User] | None, group: Group | None, manager: User | None
) -> Audience:
    """Reads who is meant, and what they have and had: each item's assignments, or each person's, whichever is less.

    Raises:
        InvalidArgument: not said in exactly one way, or more assignments than one call makes.
        OutOfTime: not all of it could be read.
    """
    given = [name for name, value in (("users", users), ("group", group), ("manager", manager)) if value is not None]
    if len(given) != 1:
        raise InvalidArgument(
            f"Say who with exactly one of users, group and manager{f', not {listed(given)}' if given else ''}.",
            field_errors={name: ["exactly one of users, group, manager"] for name in given or ["users"]},
        )
    if users == []:
        raise InvalidArgument("users is empty: name at least one person.", field_errors={"users": ["is empty"]})
    named: dict[str, Group | User] = {"group": group} if group else {"manager": manager} if manager else {}
    filters = {name: thing.public_id for name, thing in named.items()}
    people = list({one.public_id: one for one in users or []}.values())
    size, first = len(people), None
    if users is None:
        first = await call.api.page("list_users", User, page=1, page_size=PAGE_SIZE, **filters)
        size = first.total_count
    if size * len(items) > MOST:
        raise too_many(size * len(items), "fewer items, by manager, or users in shorter lists (list_users names them)")
    if first is not None:
        people = await drain(call.api, "list_users", User, filters=filters, first=first)
    whose = "".join(f" {_WHOSE[name]} {quoted(thing.name)}" for name, thing in named.items())
    return Audience(people, whose, {item.public_id: await _had(call, item, people) for item in items})


async def _had(call: Call, item: ContentItem, people: list[User]) -> Had:
    had: Had = {}
    wanted = People.of(people)

    def take(one: AssignmentFacts) -> None:
        if one.user.public_id in wanted:
            had.setdefault(one.user.public_id, {})[one.public_id] = (one.state, one.due_date)

    read = await read_assignments(call, Selection(content_item=[item]), AssignmentFacts, take, had.clear, people=wanted)
    if not read.coverage.complete:
        raise OutOfTime(
            f"Who has it already could not be read in full ({read.coverage.reason}). Nothing was changed. Split the "
            f"people: at most {max(len(people) // 2, 1):,} in one call.",
            seconds=0,
        )
    return had


def _undo(created: list[str]) -> Undo:
    if not created:
        return None, None
    call = ToolCall(tool="bulk_update_assignments", arguments={"action": "drop", "assignments": created})
    return call, "Dropped assignments stay in the history."
