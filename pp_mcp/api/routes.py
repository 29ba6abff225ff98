"""The one table of paths and parameter names, and how a user overrides it.

Only `GET /users` is documented word for word; the other paths are inferred from documented conventions, so any of
them may be another on a tenant. Parameters are documented, their exact spelling (`due_date_gte`) is inferred.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import cast

from pp_mcp.errors import InvalidArgument

_PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

PLACEHOLDER = "{public_id}"


def check_id(value: str, *, argument: str = "public_id") -> str:
    """`value` if it can be a public_id: 1 to 128 ASCII letters, digits, "_" and "-" (UUIDs and ULIDs are).

    Raises InvalidArgument for anything else: dots, slashes, escapes and the like could change which path is called.
    """
    if not _PUBLIC_ID.fullmatch(value):
        what = "is not a public_id: expected 1 to 128 letters, digits, hyphens or underscores"
        raise InvalidArgument(f"{argument} {what}.", field_errors={argument: [what]})
    return value


def fill(template: str, public_id: str | None) -> str:
    """The path for `template`, such as "/users/{public_id}". Raises InvalidArgument for an unfit or unneeded id."""
    if PLACEHOLDER not in template:
        if public_id is not None:
            raise InvalidArgument("This operation takes no public_id.", field_errors={"public_id": ["is not taken"]})
        return template
    return template.replace(PLACEHOLDER, check_id(public_id or ""))


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    """How one operation is called. `query` maps our name of a parameter to the API's.

    `repeatable`: sending it twice does no more than sending it once. `create`: it makes a new thing.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    repeatable: bool = False
    create: bool = False

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


def _get(path: str, *query: str) -> Route:
    return Route("GET", path, {name: name for name in query}, repeatable=True)


def _list(path: str, *query: str) -> Route:
    return _get(path, *query, "page", "page_size")


def _post(path: str, *, repeatable: bool = False, create: bool = False) -> Route:
    return Route("POST", path, repeatable=repeatable, create=create)


def _patch(path: str) -> Route:
    return Route("PATCH", path)


ROUTES: dict[str, Route] = {
    "create_api_token": _post("/auth/tokens", create=True),
    "list_users": _list("/users", "email", "employee_id", "search", "is_active", "role", "manager", "group"),
    "create_user": _post("/users", create=True),
    "get_user": _get("/users/{public_id}"),
    "update_user": _patch("/users/{public_id}"),
    "list_groups": _list("/groups", "name", "source", "search"),
    "create_group": _post("/groups", create=True),
    "get_group": _get("/groups/{public_id}"),
    "update_group": _patch("/groups/{public_id}"),
    "add_group_members": _post("/groups/{public_id}/members"),
    "replace_group_members": Route("PUT", "/groups/{public_id}/members", repeatable=True),
    "remove_group_members": Route("DELETE", "/groups/{public_id}/members", repeatable=True),
    "list_articles": _list("/articles", "search", "is_archived", "is_hidden"),
    "create_article": _post("/articles", create=True),
    "get_article": _get("/articles/{public_id}"),
    "update_article": _patch("/articles/{public_id}"),
    "list_assignments": _list(
        "/assignments",
        "user",
        "content_item",
        "state",
        "content_type",
        "is_overdue",
        "due_date_gte",
        "due_date_lte",
        "created_gte",
        "created_lte",
    ),
    # 201 for a new one, 200 with the one there already: documented as safe to repeat.
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
        "search",
        "content_type",
        "is_archived",
        "is_hidden",
        "created_gte",
        "created_lte",
        "modified_gte",
        "modified_lte",
        "channel",
        "group",
    ),
    "get_content_item": _get("/content-items/{public_id}"),
    "update_content_item": _patch("/content-items/{public_id}"),
    "delete_content_item": Route("DELETE", "/content-items/{public_id}", repeatable=True),
    # Items already in the wanted state count as successes: documented.
    "archive_content_items": _post("/content-items/bulk-archive", repeatable=True),
    "unarchive_content_items": _post("/content-items/bulk-unarchive", repeatable=True),
    "list_enrollments": _list(
        "/enrollments", "user", "event", "status", "attendance_method", "created_gte", "created_lte"
    ),
}

_PATH = re.compile(r"(?:/(?:[A-Za-z0-9_.~-]+|\{[a-z_]+\}))+")
_PARAMETER = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")


def override(routes: Mapping[str, Route], spec: Mapping[str, object]) -> dict[str, Route]:
    """`routes` with the entries of `spec` in place of theirs.

    An entry is "METHOD /path", "/path", or an object with any of `path`, `method` and `query` (our name → the API's).
    What an operation does stays as it is: reads stay GET, writes become no GET, and a path keeps its placeholders.
    Raises ValueError whose text has one line per mistake.
    """
    changed = dict(routes)
    mistakes: list[str] = []
    for operation, entry in spec.items():
        route = routes.get(operation)
        if route is None:
            mistakes.append(f"{operation}: no such operation{_nearest(operation, routes)}")
            continue
        found, changed[operation] = _overridden(route, entry)
        mistakes.extend(f"{operation}: {mistake}" for mistake in found)
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return changed


def _overridden(route: Route, entry: object) -> tuple[list[str], Route]:
    if isinstance(entry, str):
        method, _, path = entry.strip().rpartition(" ")
        parts: dict[str, object] = {"path": path, "method": method.strip() or route.method}
    elif isinstance(entry, Mapping):
        parts = dict(cast(Mapping[str, object], entry))
    else:
        return ['give "METHOD /path" or an object with path, method, query'], route
    mistakes = [
        f"unknown key {key!r}; there are path, method, query" for key in parts.keys() - {"path", "method", "query"}
    ]
    method_mistake, method = _method(route, parts.get("method", route.method))
    path_mistake, path = _path(route, parts.get("path", route.path))
    query_mistakes, query = _query(route, parts.get("query", {}))
    mistakes += [*method_mistake, *path_mistake, *query_mistakes]
    return mistakes, route if mistakes else replace(route, method=method, path=path, query=query)


def _method(route: Route, given: object) -> tuple[list[str], str]:
    method = given.upper() if isinstance(given, str) else ""
    if method not in METHODS:
        return [f"unknown method {given!r}; there are {', '.join(METHODS)}"], method
    if (method == "GET") == route.is_write:
        return [f"the method cannot be {method}: the operation {'writes' if route.is_write else 'reads'}"], method
    return [], method


def _path(route: Route, given: object) -> tuple[list[str], str]:
    path = given if isinstance(given, str) else ""
    if not path.startswith("/"):
        return ['the path must begin with "/", without scheme and host'], path
    if "?" in path or "#" in path:
        return ["the path must have no query and no fragment"], path
    if not _PATH.fullmatch(path) or any(step in (".", "..") for step in path.split("/")):
        return ["the path may hold only steps of letters, digits, - _ . ~ and placeholders, none of them . or .."], path
    wanted = re.findall(r"\{[a-z_]+\}", route.path)
    if sorted(re.findall(r"\{[a-z_]+\}", path)) != sorted(wanted):
        return [f"the path must hold {' and '.join(wanted)} once" if wanted else "the path takes no placeholder"], path
    return [], path


def _query(route: Route, given: object) -> tuple[list[str], dict[str, str]]:
    query = dict(route.query)
    if not isinstance(given, Mapping):
        return ["query must be an object: our name → the API's name"], query
    mistakes: list[str] = []
    for name, target in cast(Mapping[str, object], given).items():
        if name not in route.query:
            mistakes.append(f"no parameter {name!r}{_nearest(name, route.query)}")
        elif not isinstance(target, str) or not _PARAMETER.fullmatch(target):
            mistakes.append(f"the API's name of {name!r} may hold only letters, digits, - _ . [ ]")
        else:
            query[name] = target
    if len(set(query.values())) < len(query):
        mistakes.append("two parameters would have the same name")
    return mistakes, query


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
