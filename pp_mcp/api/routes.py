"""The one table of paths and parameter names, and how a user overrides it.

Only `GET /users` is documented word for word; the other paths are inferred from documented conventions, so they may
differ on a tenant. Parameters are documented, their exact spelling (`due_date_gte`) is inferred.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from pp_mcp.errors import InvalidArgument

PLACEHOLDER = "{public_id}"


def check_id(value: str, *, argument: str = "public_id") -> str:
    """`value` if it can be a public_id: 1 to 128 ASCII letters, digits, "_" and "-" (as UUIDs and ULIDs are).

    Raises InvalidArgument for anything else: dots, slashes, escapes and the like could change which path is called.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", value):
        raise InvalidArgument.naming(
            {argument: "is not a public_id: expected 1 to 128 letters, digits, hyphens or underscores"}
        )
    return value


def fill(template: str, public_id: str | None) -> str:
    """The path for `template`, such as "/users/{public_id}". Raises InvalidArgument for a wrong or unneeded id."""
    if PLACEHOLDER in template:
        return template.replace(PLACEHOLDER, check_id(public_id or ""))
    if public_id is not None:
        raise InvalidArgument.naming({"public_id": "is not taken by this operation"})
    return template


@dataclass(frozen=True)
class Route:
    """How one operation is called. `query` maps our name of a parameter to the API's.

    `repeatable`: sending it twice has the same effect as once. `create`: it makes something new.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    repeatable: bool = False
    create: bool = False

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


def _get(path: str, query: str = "") -> Route:
    return Route("GET", path, {name: name for name in query.split()}, repeatable=True)


def _list(path: str, query: str) -> Route:
    return _get(path, f"{query} page page_size")


def _post(path: str, *, repeatable: bool = False, create: bool = False) -> Route:
    return Route("POST", path, repeatable=repeatable, create=create)


def _patch(path: str) -> Route:
    return Route("PATCH", path)


_CREATED = "created_gte created_lte"

ROUTES: dict[str, Route] = {
    "create_api_token": _post("/auth/tokens", create=True),
    "list_users": _list("/users", "email employee_id search is_active role manager group"),
    "create_user": _post("/users", create=True),
    "get_user": _get("/users/{public_id}"),
    "update_user": _patch("/users/{public_id}"),
    "list_groups": _list("/groups", "name source search"),
    "create_group": _post("/groups", create=True),
    "get_group": _get("/groups/{public_id}"),
    "update_group": _patch("/groups/{public_id}"),
    "add_group_members": _post("/groups/{public_id}/members"),
    "replace_group_members": Route("PUT", "/groups/{public_id}/members", repeatable=True),
    "remove_group_members": Route("DELETE", "/groups/{public_id}/members", repeatable=True),
    "list_articles": _list("/articles", "search is_archived is_hidden"),
    "create_article": _post("/articles", create=True),
    "get_article": _get("/articles/{public_id}"),
    "update_article": _patch("/articles/{public_id}"),
    "list_assignments": _list(
        "/assignments", f"user content_item state content_type is_overdue due_date_gte due_date_lte {_CREATED}"
    ),
    # 201 with a new one, 200 with the existing one: documented as safe to repeat.
    "assign_content": _post("/assignments", repeatable=True, create=True),
    "get_assignment": _get("/assignments/{public_id}"),
    "update_assignment": _patch("/assignments/{public_id}"),
    "complete_assignment": _post("/assignments/{public_id}/complete"),
    "drop_assignment": _post("/assignments/{public_id}/drop"),
    "exempt_assignment": _post("/assignments/{public_id}/exempt"),
    "revert_completion": _post("/assignments/{public_id}/revert-completion"),
    "revert_exemption": _post("/assignments/{public_id}/revert-exemption"),
    "list_content_items": _list(
        "/content-items",
        f"search content_type is_archived is_hidden {_CREATED} modified_gte modified_lte channel group",
    ),
    "get_content_item": _get("/content-items/{public_id}"),
    "update_content_item": _patch("/content-items/{public_id}"),
    "delete_content_item": Route("DELETE", "/content-items/{public_id}", repeatable=True),
    # Items that are already in that state count as successes: documented.
    "archive_content_items": _post("/content-items/bulk-archive", repeatable=True),
    "unarchive_content_items": _post("/content-items/bulk-unarchive", repeatable=True),
    "list_enrollments": _list("/enrollments", f"user event status attendance_method {_CREATED}"),
}

_PARAMETER = r"^[A-Za-z0-9_.\[\]-]{1,64}$"
_STEPS = re.compile(r"(?:/(?:(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~-]+|\{[a-z_]+\}))+/?")


class RouteOverride(BaseModel):
    """One entry of PP_ROUTES; the context of its validation is the route that it changes.

    An entry is "METHOD /path", "/path", or an object with any of the fields. `query` maps our name to the API's.
    What an operation does stays as it is: reads stay GET, writes do not become GET, a path keeps its placeholders.
    """

    model_config = ConfigDict(extra="forbid")

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    path: str | None = None
    query: dict[str, Annotated[str, Field(pattern=_PARAMETER)]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, entry: object) -> object:
        if isinstance(entry, str):
            method, _, path = entry.strip().rpartition(" ")
            return {"path": path, "method": method.strip().upper() or None}
        if not isinstance(entry, Mapping):
            raise ValueError('give "METHOD /path" or an object with path, method, query')
        return cast(object, entry)

    @field_validator("method")
    @classmethod
    def _same_effect(cls, method: str | None, info: ValidationInfo[Route]) -> str | None:
        if method and (method == "GET") == info.context.is_write:
            raise ValueError(f"cannot be {method}: the operation {'writes' if info.context.is_write else 'reads'}")
        return method

    @field_validator("path")
    @classmethod
    def _same_placeholders(cls, path: str | None, info: ValidationInfo[Route]) -> str | None:
        if path is None:
            return path
        wanted = info.context.path.count(PLACEHOLDER)
        if not path.startswith("/"):
            raise ValueError('must begin with "/", without scheme and host')
        if not _STEPS.fullmatch(path):
            raise ValueError(
                "may contain only steps of letters, digits, - _ . ~ and placeholders; no . or .., no query"
            )
        if path.count("{") != wanted or path.count(PLACEHOLDER) != wanted:
            raise ValueError(f"must contain {PLACEHOLDER} once" if wanted else "takes no placeholder")
        return path

    @field_validator("query")
    @classmethod
    def _known_names(cls, query: dict[str, str], info: ValidationInfo[Route]) -> dict[str, str]:
        known = info.context.query
        if unknown := [f"{name!r}{_nearest(name, known)}" for name in query if name not in known]:
            raise ValueError(f"has no parameter {', '.join(unknown)}")
        merged = {**known, **query}
        if len(set(merged.values())) < len(merged):
            raise ValueError("gives two parameters the same name")
        return merged


def override(routes: Mapping[str, Route], entries: Mapping[str, object]) -> dict[str, Route]:
    """`routes` changed by `entries`, each as `RouteOverride` says. Raises ValueError with one line for each mistake."""
    changed = dict(routes)
    mistakes: list[str] = []
    for operation, entry in entries.items():
        if (route := routes.get(operation)) is None:
            mistakes.append(f"{operation}: there is no such operation{_nearest(operation, routes)}")
            continue
        try:
            given = RouteOverride.model_validate(entry, context=route)
        except ValidationError as invalid:
            for fault in invalid.errors(include_url=False, include_input=False):
                where = ".".join(str(step) for step in (operation, *fault["loc"]))
                said = fault["msg"].removeprefix("Value error, ")
                if fault["type"] == "extra_forbidden":
                    said = f"is not one of {', '.join(RouteOverride.model_fields)}"
                mistakes.append(f"{where}: {said}")
        else:
            changed[operation] = replace(route, **given.model_dump(exclude_none=True, exclude_unset=True))
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return changed


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
