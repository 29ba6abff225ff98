"""People: find, create, change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import (
    ItemAnswer,
    ListAnswer,
    Named,
    ToolCall,
    UserRow,
    counted,
    full,
    list_answer,
    scope_of,
    user_row,
)
from pp_mcp.declare import UNSET, Call, Effect, Unset, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import User
from pp_mcp.operations.params import (
    ActiveFilterArg,
    DetailArg,
    EmailArg,
    GroupArg,
    ManagerArg,
    NameArg,
    PageArg,
    PageSizeArg,
    RoleArg,
    SearchArg,
    UserArg,
)
from pp_mcp.plan import Done, Plan, left_out, update_plan
from pp_mcp.text import person, plural, quoted, word

EmployeeIdArg = Annotated[str, Field(min_length=1, max_length=128, description="Exact id.")]


@operation(toolset="users", title="List people", effect=Effect.READ, csv="lists/users", record=User)
async def list_users(
    call: Call,
    search: Annotated[SearchArg, Field(description="Part of a name or e-mail.")] | None = None,
    email: Annotated[EmailArg, Field(description="Exact e-mail.")] | None = None,
    employee_id: EmployeeIdArg | None = None,
    role: RoleArg | None = None,
    is_active: ActiveFilterArg | None = None,
    manager: ManagerArg | None = None,
    group: GroupArg | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[UserRow]:
    """Find people (learners, employees, leavers): by name, e-mail, employee id, role, manager or group, a page of rows
    at a time. For one known person use get_user; for a person's open work get_learner_summary. Names and e-mails are
    what the tenant holds, sorted by the tenant."""
    found = await call.api.page(
        "list_users",
        User,
        page=page,
        page_size=page_size,
        search=search,
        email=email,
        employee_id=employee_id,
        role=role,
        is_active=is_active,
        manager=manager.public_id if manager else None,
        group=group.public_id if group else None,
    )
    return list_answer(
        found,
        lambda user: user_row(user, detail),
        one="person",
        many="people",
        scope=scope_of(in_the_group=group.name if group else None, reporting_to=manager.name if manager else None),
        stands_out=people_facts(found.items),
        narrow="search, role, is_active, manager, group",
    )


def people_facts(people: list[User]) -> list[str]:
    """What stands out among people: who is inactive, who is more than a learner, who has no manager."""
    roles = Counter(user.role for user in people)
    return [
        counted(sum(user.is_active is False for user in people), "inactive"),
        *(plural(roles[role], role) if roles[role] else "" for role in ("admin", "organizer")),
        counted(sum(user.manager is None for user in people), "without a manager"),
    ]


@operation(toolset="users", title="Get one person", effect=Effect.READ)
async def get_user(call: Call, user: UserArg) -> ItemAnswer[UserRow]:
    """Show one person's profile: role, manager, employee id, active or not, date joined. For several people use
    list_users; for what the person has to learn use get_learner_summary."""
    manager = f", reports to {person(user.manager.name, user.manager.email)}" if user.manager else ", no manager"
    state = "" if user.is_active is not False else ", inactive"
    return ItemAnswer[UserRow](
        summary=f"{person(user.name, user.email)}: role {word(user.role)}{state}{manager}.", item=full(UserRow, user)
    )


@operation(toolset="users", title="Create a person", effect=Effect.ADD, idempotent=False)
async def create_user(
    call: Call,
    email: Annotated[EmailArg, Field(description="E-mail; cannot be changed later.")],
    name: Annotated[NameArg, Field(description="Full name.")],
    role: RoleArg = "user",
    employee_id: EmployeeIdArg | None = None,
    manager: ManagerArg | None = None,
) -> Plan:
    """Add a new person (a new hire) to the platform. An e-mail that exists already is refused and named; then use
    update_user. People synced from an HR system are better created there: the sync may overwrite or duplicate them.
    Cannot be undone: the API deactivates, never deletes. Needs an admin's token."""
    check = ToolCall(tool="list_users", arguments={"email": email})
    taken = await call.api.page("list_users", User, email=email, page_size=1)
    if taken.items:
        there = taken.items[0]
        raise InvalidArgument(
            f"{email} is taken: {person(there.name)}, public_id {word(there.public_id)}. "
            "Use update_user to change that person.",
            field_errors={"email": ["a person with this e-mail exists already"]},
        )
    body = {"email": email, "name": name, "role": role}
    if employee_id is not None:
        body["employee_id"] = employee_id
    if manager is not None:
        body["manager"] = manager.public_id

    async def apply() -> Done:
        written = await call.api.write("create_user", User, body)
        created = written.value
        after = _comparable(created)
        missed = [field for field, value in body.items() if field != "email" and after.get(field) != value]
        missed += [] if (created.email or "").casefold() == email.casefold() else ["email"]
        return Done(
            summary=f"Created {person(created.name, created.email)} with the role {word(created.role)}."
            + left_out(missed),
            target=Named(kind="user", public_id=created.public_id, name=created.name),
            changes={
                name: [None, manager.name if manager and value == manager.public_id else value]
                for name, value in after.items()
                if value is not None
            },
            not_applied=missed,
            undo_note="The API cannot delete people; update_user with is_active=false deactivates.",
        )

    return Plan(
        target=Named(kind="user", name=name),
        summary=f"Create {person(name, email)} with the role {role}.",
        apply=apply,
        check=check,
    )


def _comparable(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role,
        "employee_id": user.employee_id,
        "manager": user.manager.public_id if user.manager else None,
        "is_active": user.is_active,
    }


@operation(toolset="users", title="Change a person", effect=Effect.CHANGE, may_confirm=True)
async def update_user(
    call: Call,
    user: UserArg,
    name: Annotated[NameArg, Field(description="New full name.")] | None = None,
    role: RoleArg | None = None,
    employee_id: Annotated[EmployeeIdArg, Field(description="null clears it.")] | Unset | None = UNSET,
    manager: ManagerArg | Unset | None = UNSET,
    is_active: Annotated[bool, Field(description="false deactivates a leaver.")] | None = None,
) -> Plan:
    """Change a person's name, role, employee id or manager, deactivate a leaver or reactivate; only given fields
    change. A new role or deactivation is previewed and needs confirm_token. The e-mail cannot be changed. An HR sync
    may undo edits overnight. Needs an admin's token."""
    asked: dict[str, Any] = {}
    if name is not None:
        asked["name"] = name
    if role is not None:
        asked["role"] = role
    if not isinstance(employee_id, Unset):
        asked["employee_id"] = employee_id
    if not isinstance(manager, Unset):
        asked["manager"] = manager.public_id if manager else None
    if is_active is not None:
        asked["is_active"] = is_active
    if not asked:
        raise InvalidArgument(
            "Nothing to change: give at least one of name, role, employee_id, manager, is_active.", field_errors={}
        )
    before = _comparable(user)
    names = {user.manager.public_id: user.manager.name} if user.manager else {}
    if isinstance(manager, User):
        names[manager.public_id] = manager.name

    async def send() -> Mapping[str, Any]:
        body = {field: value for field, value in asked.items() if before[field] != value}
        written = await call.api.write("update_user", User, body, public_id=user.public_id)
        if written.value.manager:
            names[written.value.manager.public_id] = written.value.manager.name
        return _comparable(written.value)

    plan_effects: list[str] = []
    new_role = asked.get("role", user.role) != user.role
    leaving = asked.get("is_active") is False and user.is_active is not False
    if new_role:
        plan_effects.append(f"{quoted(user.name)} gets the rights of {_article(role or '')}, at once.")
    if leaving:
        plan_effects.append(
            "Access is lost at once. PlusPlus may also take the person out of events and anonymise them after a delay: "
            "that part cannot be set back."
        )
        reports = await call.api.page("list_users", User, manager=user.public_id, page_size=1)
        if reports.total_count:
            plan_effects.append(f"{plural(reports.total_count, 'person reports', 'people report')} to this person.")
    return update_plan(
        target=Named(kind="user", public_id=user.public_id, name=user.name),
        tool="update_user",
        reference="user",
        before=before,
        asked=asked,
        send=send,
        shown=lambda field, value: names.get(value, value) if field == "manager" else value,
        check=ToolCall(tool="get_user", arguments={"user": user.public_id}),
        effects=plan_effects,
        confirm=new_role or leaving,
        clears=frozenset({"employee_id", "manager"}),
    )


def _article(role: str) -> str:
    return f"an {role}" if role[:1] in "aeo" else f"a {role}"
