"""One content item to many people."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from pp_mcp.answers import Named, ToolCall
from pp_mcp.api.walk import drain
from pp_mcp.bulk.run import EXAMPLES, MOST, UNDO_LIMIT, Step, Undo, carry_out_all, cost, told, too_many
from pp_mcp.declare import Call, Effect, Reference, operation
from pp_mcp.errors import InvalidArgument, OutOfTime
from pp_mcp.models import Assignment, ContentItem, Group, User
from pp_mcp.operations.assignments import OUTSTANDING, was_there
from pp_mcp.operations.params import DueArg, ExpiryArg, GroupArg, ItemArg, ManagerArg, same_moment
from pp_mcp.plan import Done, ManyPlan
from pp_mcp.reports.reading import People, Selection, read_assignments
from pp_mcp.text import listed, person, plural, quoted

UsersArg = Annotated[
    list[User], Reference("user"), Field(description="E-mails, public_ids or full names, max 1000.", max_length=MOST)
]


@operation(toolset="bulk", title="Assign content to many people", effect=Effect.DESTROY)
async def bulk_assign_content(
    call: Call,
    content_item: ItemArg,
    users: UsersArg | None = None,
    group: GroupArg | None = None,
    manager: ManagerArg | None = None,
    due_date: DueArg | None = None,
    expires_at: ExpiryArg | None = None,
    reassign: Annotated[bool, Field(description="true: also who finished, dropped or was exempted.")] = False,
) -> ManyPlan:
    """Give one course, track or other item to many people: a list, a whole group, or a manager's direct reports.
    Previews how many, who has it already and who cannot get it, then needs confirm_token. PlusPlus may notify them.
    Calling again after a break goes on where it stopped. For one person use assign_content."""
    people, whose = await _people(call, users, group, manager)
    item = quoted(content_item.name)
    if content_item.is_archived:
        raise InvalidArgument(
            f"{item} is archived: unarchive_content_items first. Nothing was changed.",
            field_errors={"content_item": ["is archived"]},
        )
    audience = await _audience(call, content_item, people, reassign)
    asked = {"due_date": due_date.isoformat() if due_date else None, "expires_at": expires_at}
    asked = {name: value for name, value in asked.items() if value is not None}
    created: list[str] = []
    missed: set[str] = set()

    async def deed(user: User) -> bool:
        body = {"user_id": user.public_id, "content_item_id": content_item.public_id, **asked}
        written = await call.api.write("assign_content", Assignment, body)
        made = written.value
        if made.public_id in audience.known.get(user.public_id, {}) or was_there(written):
            return False
        created.append(made.public_id)
        after = {"due_date": made.due_date, "expires_at": made.expires_at}
        missed.update(name for name, value in asked.items() if not same_moment(after[name], value))
        return True

    async def apply() -> Done:
        run = await carry_out_all(call, [Step(one.public_id, one.label, one) for one in audience.fresh], deed)
        did = f"Assigned {item} to {plural(len(created), 'person', 'people')}."
        changes = {"state": [None, "not_started"]}
        already, so = len(audience.there), ("had it already", "had it already")
        done = told(run, did, already=already, undo=_undo(created), changes=changes, so=so)
        if not missed:
            return done
        note = f" The API did not take over {listed(sorted(missed))} everywhere: bulk_update_assignments can set it."
        return replace(done, summary=done.summary + note, not_applied=sorted(missed))

    count = plural(len(audience.fresh), "person", "people")
    due = f", due {due_date.isoformat()}" if due_date else ", with no due date"
    return ManyPlan(
        target=Named(
            kind=content_item.content_type or "content_item", public_id=content_item.public_id, name=content_item.name
        ),
        summary=f"Assign {item} to {count}{whose}{due}.",
        apply=apply,
        state=sorted(one.public_id for one in audience.fresh),
        effects=audience.effects(asked.get("due_date")) + cost(len(audience.fresh), UNDO_LIMIT),
        reach=len(audience.fresh),
        unchanged=None if audience.fresh else audience.nobody(item, whose),
        check=ToolCall(
            tool="report_assignments", arguments={"content_item": content_item.public_id, "group_by": ["state"]}
        ),
    )


@dataclass
class _Audience:
    """The people meant, sorted by what the item already is to them."""

    fresh: list[User] = field(default_factory=list[User])
    """Who gets it."""
    there: list[User] = field(default_factory=list[User])
    """Who has it outstanding."""
    past: list[User] = field(default_factory=list[User])
    """Who finished it, had it dropped or was exempted."""
    inactive: list[User] = field(default_factory=list[User])
    known: dict[str, dict[str, tuple[str, str | None]]] = field(
        default_factory=dict[str, "dict[str, tuple[str, str | None]]"]
    )
    """Each person's assignments of the item: state and due date, by their ids."""

    def sort(self, people: list[User], reassign: bool) -> None:
        """Puts each person where they belong."""
        for one in people:
            states = [state for state, _ in self.known.get(one.public_id, {}).values()]
            if any(state in OUTSTANDING for state in states):
                self.there.append(one)
            elif one.is_active is False:
                self.inactive.append(one)
            elif states and not reassign:
                self.past.append(one)
            else:
                self.fresh.append(one)

    def effects(self, due_date: str | None) -> list[str]:
        """What a preview tells of them."""
        examples = listed([person(one.label, one.email) for one in self.fresh], EXAMPLES)
        words = [f"{'Gets' if len(self.fresh) == 1 else 'Get'} it: {examples}."]
        if self.there:
            said = f"{plural(len(self.there), 'person has', 'people have')} it already, outstanding: left as it is"
            other = self._due_otherwise(due_date) if due_date else 0
            words.append(f"{said}, {other:,} of them with another due date." if other else f"{said}.")
        if self.past:
            verb = "was" if len(self.past) == 1 else "were"
            words.append(
                f"{plural(len(self.past), 'person', 'people')} finished it, dropped it or {verb} exempted before: left "
                "out (reassign=true gives it again)."
            )
        again = sum(1 for one in self.fresh if one.public_id in self.known)
        if again:
            words.append(f"{plural(again, 'person gets', 'people get')} it again, from zero.")
        if self.inactive:
            names = listed([person(one.label, one.email) for one in self.inactive], EXAMPLES)
            count = plural(len(self.inactive), "inactive person", "inactive people")
            words.append(f"Not possible for {count}: {names}.")
        return words

    def _due_otherwise(self, due_date: str) -> int:
        return sum(
            all(due != due_date for state, due in self.known[one.public_id].values() if state in OUTSTANDING)
            for one in self.there
        )

    def nobody(self, item: str, whose: str) -> str:
        """Why nobody gets it."""
        counts = [
            (len(self.there), "{} it outstanding", ("has", "have")),
            (len(self.past), "{} it before", ("had", "had")),
            (len(self.inactive), "{} inactive", ("is", "are")),
        ]
        parts = [f"{count:,} {words.format(verbs[count > 1])}" for count, words, verbs in counts if count]
        if not parts:
            return f"Nobody to assign {item} to: there is nobody{whose}."
        return f"Nobody{whose} to assign {item} to: {listed(parts)}."


async def _people(
    call: Call, users: list[User] | None, group: Group | None, manager: User | None
) -> tuple[list[User], str]:
    """The people meant, by exactly one of the three ways to say who, and in words who they are."""
    given = [name for name, value in (("users", users), ("group", group), ("manager", manager)) if value is not None]
    if len(given) != 1:
        raise InvalidArgument(
            "Say who with exactly one of users, group and manager"
            + (f"; {listed(given)} were given." if given else "."),
            field_errors={name: ["exactly one of users, group, manager"] for name in given or ["users"]},
        )
    if users is not None:
        if not users:
            raise InvalidArgument("users is empty: name at least one person.", field_errors={"users": ["is empty"]})
        return list({one.public_id: one for one in users}.values()), ""
    filters = {
        "group": group.public_id if group is not None else None,
        "manager": manager.public_id if manager is not None else None,
    }
    size = (await call.api.page("list_users", User, page=1, page_size=1, **filters)).total_count
    if size > MOST:
        raise too_many(size, "by manager, or users in lists of up to 1,000 (list_users names them)")
    people = await drain(call.api, "list_users", User, filters=filters)
    if group is not None:
        return people, f" in the group {quoted(group.name)}"
    return people, f" who report to {quoted(manager.name)}" if manager is not None else ""


async def _audience(call: Call, item: ContentItem, people: list[User], reassign: bool) -> _Audience:
    """Who of the people gets the item. Reads the item's assignments, or each person's, whichever is less."""
    audience = _Audience()
    wanted = People.of(people)

    def take(assignment: Assignment) -> None:
        if assignment.user.public_id in wanted:
            theirs = audience.known.setdefault(assignment.user.public_id, {})
            theirs[assignment.public_id] = (assignment.state, assignment.due_date)

    selection = Selection(content_item=item)
    read = await read_assignments(call, selection, take, audience.known.clear, people=wanted)
    if not read.coverage.complete:
        raise OutOfTime(
            f"Who has it already could not be read in full ({read.coverage.reason}). Nothing was changed.", seconds=0
        )
    audience.sort(people, reassign)
    return audience


def _undo(created: list[str]) -> Undo:
    if not created:
        return None, None
    if len(created) > UNDO_LIMIT:
        return None, f"Undoing it takes a list of {len(created):,} assignments, too long for one answer."
    call = ToolCall(tool="bulk_update_assignments", arguments={"action": "drop", "assignments": sorted(created)})
    return call, "Dropping leaves dropped assignments in the history."
