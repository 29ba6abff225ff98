"""People: find, create, change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.answers import ItemAnswer, ListAnswer, Named, UserRow, full, scope_of
from pp_mcp.api.walk import drain, for_each
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Enrollment, Group, Page, User
from pp_mcp.operations import params
from pp_mcp.operations.lists import count, count_outstanding, list_answer, list_page
from pp_mcp.plan import Plan, call_of, create_plan, update_plan
from pp_mcp.text import listed, person, plural, quoted, word

EmployeeIdArg = Annotated[str, Field(min_length=1, max_length=128, description="Employee id."), params.NothingHidden]


@operation(toolset="users", title="Find people and accounts", effect=Effect.READ, csv="lists/users", record=User)
async def list_users(
    call: Call,
    search: Annotated[params.SearchArg, Field(description="Part of a name or e-mail.")] | None = None,
    email: Annotated[params.EmailArg, Field(description="Exact e-mail.")] | None = None,
    employee_id: EmployeeIdArg | None = None,
    role: params.RoleArg | None = None,
    is_active: params.ActiveFilterArg | None = None,
    manager: params.ManagerArg | None = None,
    group: params.SomeGroupsArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[UserRow]:
    """Find people (employees, learners, leavers, admins, organizers) and their accounts: by name, e-mail, employee id,
    role, group or manager (direct reports, who reports to whom), active or deactivated. For one known person use
    get_user; for someone's open training get_learner_summary."""
    in_group = f" in {listed([quoted(one.name) for one in group], 3)}" if group else ""
    scope = in_group + scope_of(reporting_to=manager.name if manager else None)
    filters: dict[str, Any] = {
        "search": search,
        "email": email,
        "employee_id": employee_id,
        "role": role,
        "is_active": is_active,
        "manager": manager,
    }
    if group is None or len(group) == 1:
        return await list_page(
            call,
            "list_users",
            User,
            UserRow,
            noun="person",
            scope=scope,
            page=page,
            page_size=page_size,
            detail=detail,
            group=group[0] if group else None,
            **filters,
        )
    people = await _in_all(call, group, {**filters, "manager": manager.public_id if manager else None})
    rows = people[(page - 1) * page_size :][:page_size]
    found = Page(rows, page, page_size, len(people), -(-len(people) // page_size))
    return list_answer(found, UserRow, detail, noun="person", scope=scope, filters={**filters, "group": group})


async def _in_all(call: Call, groups: list[Group], filters: dict[str, Any]) -> list[User]:
    """The people who are in every one of these groups, by name; the API filters by one."""
    if (known := call.memo.get("list_users")) is not None:
        return known
    people: dict[str, User] = {}
    for number, group in enumerate({group.public_id: None for group in groups}):
        found = await drain(call.api, "list_users", User, filters={**filters, "group": group})
        people = {user.public_id: user for user in found if number == 0 or user.public_id in people}
    found = call.memo["list_users"] = sorted(people.values(), key=lambda user: (user.name.casefold(), user.public_id))
    return found


@operation(toolset="users", title="Look up one person's profile", effect=Effect.READ)
async def get_user(call: Call, user: params.UserArg) -> ItemAnswer[UserRow]:
    """Look up one person's profile: role, manager, e-mail, employee id, is the account active, date joined. For several
    people use list_users; for what the person has to learn use get_learner_summary."""
    manager = f", reports to {person(user.manager.name, user.manager.email)}" if user.manager else ", no manager"
    state = "" if user.is_active is not False else ", inactive"
    return ItemAnswer[UserRow](
        summary=f"{person(user.name, user.email)}: role {word(user.role)}{state}{manager}.", item=full(UserRow, user)
    )


@operation(toolset="users", title="Create a person's account", effect=Effect.ADD, may_confirm=True, idempotent=False)
async def create_user(
    call: Call,
    email: Annotated[params.EmailArg, Field(description="E-mail; cannot be changed later.")],
    name: Annotated[params.NameArg, Field(description="Full name.")],
    role: params.RoleArg = "user",
    employee_id: EmployeeIdArg | None = None,
    manager: params.ManagerArg | None = None,
) -> Plan:
    """Set up an account for a new person (new hire, joiner, external). A taken e-mail is refused: use update_user. Add
    people synced from HR there, or the sync may overwrite or duplicate them. Cannot be undone, only deactivated. Needs
    an admin's token."""
    taken = await call.api.page("list_users", User, email=email, page_size=1)
    if taken.items:
        there = taken.items[0]
        raise InvalidArgument(
            f"{email} already belongs to {person(there.name)}, public_id {word(there.public_id)}. "
            "Use update_user to change that person.",
            field_errors={"email": ["a person with this e-mail already exists"]},
        )
    body = {"email": email, "name": name, "role": role, "employee_id": employee_id}
    body["manager"] = manager.public_id if manager else None

    def with_email(created: User) -> dict[str, Any]:
        same = (created.email or "").casefold() == email.casefold()
        return {"email": email if same else created.email, **comparable(created)}

    return create_plan(
        call.api,
        "create_user",
        User,
        {field: value for field, value in body.items() if value is not None},
        target=Named(kind="user", name=name),
        comparable=with_email,
        created=lambda user: f"Created {person(user.name, user.email)} with the role {word(user.role)}.",
        check=call_of("list_users", "email", email),
        summary=f"Create {person(name, email)} with the role {role}.",
        names={manager.public_id: manager.name} if manager else {},
        effects=[] if role == "user" else [_gains(quoted(name), role)],
        undo_note="The API cannot delete people; update_user with is_active=false deactivates.",
    )


def comparable(user: User) -> dict[str, Any]:
    """A person's fields as requests write them."""
    return {
        "name": user.name,
        "role": user.role,
        "employee_id": user.employee_id,
        "manager": user.manager.public_id if user.manager else None,
        "is_active": user.is_active,
    }


ClearArg = Annotated[
    list[Literal["employee_id", "manager"]], Field(description="Fields to empty.", min_length=1, max_length=2)
]


async def person_plan(call: Call, user: User, asked: dict[str, Any], manager: User | None) -> Plan:
    """The plan of a change of one person. `asked` are fields as requests write them, `manager` the one named there."""
    access = await rights_and_access(call, [user], asked)
    return update_plan(
        call.api,
        "update_user",
        User,
        user,
        asked,
        target=Named(kind="user", public_id=user.public_id, name=user.name),
        comparable=comparable,
        names=lambda one: {one.manager.public_id: one.manager.name} if one.manager else {},
        new_names={manager.public_id: manager.name} if manager else {},
        effects=access,
        confirm=bool(access),
        clearable=frozenset({"employee_id", "manager"}),
    )


async def rights_and_access(call: Call, users: list[User], asked: dict[str, Any]) -> list[str]:
    """What a new role, a deactivation or a reactivation means for these people; empty where it is none of them."""
    said: list[str] = []
    if changed := [user for user in users if asked.get("role", user.role) != user.role]:
        said.append(_gains(listed([quoted(user.name) for user in changed]), asked["role"]))
    if asked.get("is_active") is True and (back := [user for user in users if user.is_active is False]):
        said.append(f"Gets access back at once: {listed([quoted(user.name) for user in back])}.")
    leavers = [user for user in users if asked.get("is_active") is False and user.is_active is not False]
    if not leavers:
        return said
    said.append(
        f"Loses access at once: {listed([quoted(user.name) for user in leavers])}. PlusPlus may also remove them from "
        "events and anonymise them after a delay; that part cannot be undone."
    )
    left = _Left()

    async def look(user: User) -> bool:
        reports = await call.api.page("list_users", User, manager=user.public_id, page_size=5)
        outstanding = await count_outstanding(call, user=user.public_id)
        enrolled = await count(call, "list_enrollments", Enrollment, user=user.public_id, status="enrolled")
        waitlisted = await count(call, "list_enrollments", Enrollment, user=user.public_id, status="waitlisted")
        left.reports += reports.total_count
        left.names += [person(one.name, one.email) for one in reports.items]
        left.outstanding += outstanding
        left.enrolled += enrolled
        left.waitlisted += waitlisted
        return True

    await for_each(leavers, look)
    return [*said, left.said]


@dataclass
class _Left:
    """What people who lose access leave behind."""

    reports: int = 0
    names: list[str] = field(default_factory=list[str])
    outstanding: int = 0
    enrolled: int = 0
    waitlisted: int = 0

    @property
    def said(self) -> str:
        first = sorted(self.names)[:5]
        more = f" and {self.reports - len(first):,} more" if self.reports > len(first) else ""
        names = f" ({', '.join(first)}{more})" if first else ""
        return (
            f"Left behind: {plural(self.reports, 'direct report')}{names}; "
            f"{plural(self.outstanding, 'outstanding assignment')}; "
            f"{plural(self.enrolled + self.waitlisted, 'enrollment')} "
            f"({self.enrolled:,} enrolled, {self.waitlisted:,} waitlisted)."
        )


def _gains(names: str, role: str) -> str:
    return f"Gets the rights of {'an' if role[:1] in 'aeo' else 'a'} {role} at once: {names}."
