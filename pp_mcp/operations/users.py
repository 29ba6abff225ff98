"""People: find, create, change."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import ItemAnswer, ListAnswer, Named, UserRow, full, scope_of
from pp_mcp.declare import UNSET, Call, Effect, Unset, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import User
from pp_mcp.operations import params
from pp_mcp.operations.lists import list_page
from pp_mcp.plan import Plan, call_of, create_plan, update_plan
from pp_mcp.text import person, plural, quoted, word

EmployeeIdArg = Annotated[str, Field(min_length=1, max_length=128, description="Employee id.")]


@operation(toolset="users", title="Find people and accounts", effect=Effect.READ, csv="lists/users", record=User)
async def list_users(
    call: Call,
    search: Annotated[params.SearchArg, Field(description="Part of a name or e-mail.")] | None = None,
    email: Annotated[params.EmailArg, Field(description="Exact e-mail.")] | None = None,
    employee_id: EmployeeIdArg | None = None,
    role: params.RoleArg | None = None,
    is_active: params.ActiveFilterArg | None = None,
    manager: params.ManagerArg | None = None,
    group: params.GroupArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[UserRow]:
    """Find people (employees, learners, leavers, admins, organizers) and their accounts: by name, e-mail, employee id,
    role, group or manager (direct reports, who reports to whom), active or deactivated. For one known person use
    get_user; for someone's open training get_learner_summary."""
    return await list_page(
        call,
        "list_users",
        User,
        UserRow,
        noun="person",
        scope=scope_of(in_the_group=group.name if group else None, reporting_to=manager.name if manager else None),
        page=page,
        page_size=page_size,
        detail=detail,
        search=search,
        email=email,
        employee_id=employee_id,
        role=role,
        is_active=is_active,
        manager=manager,
        group=group,
    )


@operation(toolset="users", title="Look up one person's profile", effect=Effect.READ)
async def get_user(call: Call, user: params.UserArg) -> ItemAnswer[UserRow]:
    """Look up one person's profile: role, manager, e-mail, employee id, is the account active, date joined. For several
    people use list_users; for what the person has to learn use get_learner_summary."""
    manager = f", reports to {person(user.manager.name, user.manager.email)}" if user.manager else ", no manager"
    state = "" if user.is_active is not False else ", inactive"
    return ItemAnswer[UserRow](
        summary=f"{person(user.name, user.email)}: role {word(user.role)}{state}{manager}.", item=full(UserRow, user)
    )


@operation(toolset="users", title="Create a person's account", effect=Effect.ADD, idempotent=False)
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

    def comparable(created: User) -> dict[str, Any]:
        same = (created.email or "").casefold() == email.casefold()
        return {"email": email if same else created.email, **_comparable(created)}

    return create_plan(
        call.api,
        "create_user",
        User,
        {field: value for field, value in body.items() if value is not None},
        target=Named(kind="user", name=name),
        comparable=comparable,
        created=lambda user: f"Created {person(user.name, user.email)} with the role {word(user.role)}.",
        check=call_of("list_users", "email", email),
        summary=f"Create {person(name, email)} with the role {role}.",
        names={manager.public_id: manager.name} if manager else {},
        undo_note="The API cannot delete people; update_user with is_active=false deactivates.",
    )


def _comparable(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role,
        "employee_id": user.employee_id,
        "manager": user.manager.public_id if user.manager else None,
        "is_active": user.is_active,
    }


@operation(toolset="users", title="Change a person or account", effect=Effect.CHANGE, may_confirm=True)
async def update_user(
    call: Call,
    user: params.UserArg,
    name: Annotated[params.NameArg, Field(description="New full name.")] | None = None,
    role: params.RoleArg | None = None,
    employee_id: Annotated[EmployeeIdArg, Field(description="null clears it.")] | Unset | None = UNSET,
    manager: params.ManagerArg | Unset | None = UNSET,
    is_active: Annotated[bool, Field(description="false deactivates a leaver.")] | None = None,
) -> Plan:
    """Change a person's name, role (make them organizer or admin), employee (staff) number or manager (whom they report
    to), or switch a leaver's account off (deactivate) or on again. Only given fields change; previews a new role or
    deactivation. Not the e-mail. An HR sync may undo it. Needs an admin's token."""
    asked = params.asked_for(
        "employee_id",
        "manager",
        name=name,
        role=role,
        employee_id=employee_id,
        manager=manager.public_id if isinstance(manager, User) else manager,
        is_active=is_active,
    )
    effects: list[str] = []
    new_role = asked.get("role", user.role) != user.role
    leaving = asked.get("is_active") is False and user.is_active is not False
    if new_role:
        effects.append(f"{quoted(user.name)} gets the rights of {_article(role or '')} at once.")
    if leaving:
        effects.append(
            "They lose access at once. PlusPlus may also remove them from events and anonymise them after a delay; "
            "that part cannot be undone."
        )
        reports = await call.api.page("list_users", User, manager=user.public_id, page_size=1)
        if reports.total_count:
            effects.append(f"{plural(reports.total_count, 'person reports', 'people report')} to this person.")
    return update_plan(
        call.api,
        "update_user",
        User,
        user,
        asked,
        target=Named(kind="user", public_id=user.public_id, name=user.name),
        comparable=_comparable,
        names=lambda one: {one.manager.public_id: one.manager.name} if one.manager else {},
        new_names={manager.public_id: manager.name} if isinstance(manager, User) else {},
        effects=effects,
        confirm=new_role or leaving,
        clears=frozenset({"employee_id", "manager"}),
    )


def _article(role: str) -> str:
    return f"an {role}" if role[:1] in "aeo" else f"a {role}"
