import json
from pathlib import Path
from typing import Any

import pytest

from pp_mcp.api import ROUTES, Route, override

CONTRACT = json.loads((Path(__file__).parent.parent / "demo" / "openapi.json").read_text(encoding="utf-8"))


def test_the_table_is_the_contract() -> None:
    documented: dict[str, Any] = {}
    for path, methods in CONTRACT["paths"].items():
        for method, operation in methods.items():
            query = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            documented[operation["operationId"]] = (method.upper(), path, sorted(query))
    ours = {name: (route.method, route.path, sorted(route.query.values())) for name, route in ROUTES.items()}
    assert ours == documented
    assert len(ours) == 32
    assert all(name == target for route in ROUTES.values() for name, target in route.query.items())


@pytest.mark.parametrize(
    ("spec", "operation", "method", "path"),
    [
        ("POST /a/{public_id}/uncomplete", "revert_completion", "POST", "/a/{public_id}/uncomplete"),
        ("/assignments/{public_id}/undo", "revert_completion", "POST", "/assignments/{public_id}/undo"),
        ("put /tokens", "create_api_token", "PUT", "/tokens"),
        ({"path": "/people"}, "list_users", "GET", "/people"),
        ({"method": "POST", "path": "/g/{public_id}/members/remove"}, "remove_group_members", "POST",
         "/g/{public_id}/members/remove"),
        ({"method": "PUT"}, "update_user", "PUT", "/users/{public_id}"),
        ({}, "list_users", "GET", "/users"),
    ],
)  # fmt: skip
def test_an_entry_takes_the_place_of_ours(spec: object, operation: str, method: str, path: str) -> None:
    changed = override(ROUTES, {operation: spec})
    assert (changed[operation].method, changed[operation].path) == (method, path)
    assert changed[operation].repeatable == ROUTES[operation].repeatable
    assert changed[operation].create == ROUTES[operation].create
    assert {name: route for name, route in changed.items() if name != operation} == {
        name: route for name, route in ROUTES.items() if name != operation
    }


def test_parameters_are_renamed_one_by_one() -> None:
    spec = {"path": "/assignments", "method": "GET", "query": {"due_date_gte": "due_date__gte", "user": "filter[user]"}}
    query = override(ROUTES, {"list_assignments": spec})["list_assignments"].query
    expected = {**ROUTES["list_assignments"].query, "due_date_gte": "due_date__gte", "user": "filter[user]"}
    assert query == expected
    assert ROUTES["list_assignments"].query["due_date_gte"] == "due_date_gte"


@pytest.mark.parametrize(
    ("operation", "spec", "complaint"),
    [
        ("list_user", "/users", "there is no such operation; did you mean list_users?"),
        ("xyzzy", "/users", "xyzzy: there is no such operation"),
        ("list_users", 3, "METHOD /path"),
        ("list_users", None, "METHOD /path"),
        ("list_users", "FETCH /users", "method: Input should be 'GET', 'POST'"),
        ("list_users", "POST /users", "cannot be POST: the operation reads"),
        ("create_user", "GET /users", "cannot be GET: the operation writes"),
        ("create_user", {"method": 3}, "method: Input should be 'GET', 'POST'"),
        ("list_users", "users", 'must begin with "/"'),
        ("list_users", "https://evil.test/users", 'must begin with "/"'),
        ("list_users", "GET https://evil.test/users", 'must begin with "/"'),
        ("list_users", {"path": 3}, "path: Input should be a valid string"),
        ("list_users", "/users?x=1", "no query"),
        ("list_users", "/users#x", "no query"),
        ("list_users", "/a/../users", "no . or .."),
        ("list_users", "/./users", "no . or .."),
        ("list_users", "//evil.test/users", "may contain only"),
        ("list_users", "/users//", "may contain only"),
        ("list_users", "/", "may contain only"),
        ("list_users", "/us%2fers", "may contain only"),
        ("list_users", "/us\\ers", "may contain only"),
        ("list_users", "/users/{public_id}", "takes no placeholder"),
        ("get_user", "/users", "must contain {public_id} once"),
        ("get_user", "/users/{id}", "must contain {public_id} once"),
        ("get_user", "/users/{public_id}/{public_id}", "must contain {public_id} once"),
        ("get_user", "/users/x{public_id}", "may contain only"),
        ("list_users", {"paht": "/users"}, "list_users.paht: is not one of method, path, query"),
        ("list_users", {"query": ["x"]}, "list_users.query: Input should be a valid dictionary"),
        ("list_users", {"query": {"emial": "e"}}, "no parameter 'emial'; did you mean email?"),
        ("list_users", {"query": {"email": "e&x"}}, "query.email: "),
        ("list_users", {"query": {"email": 3}}, "query.email: "),
        ("list_users", {"query": {"email": "search"}}, "same name"),
    ],
)
def test_mistakes(operation: str, spec: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"^\w+[\w.]*: ") as caught:
        override(ROUTES, {operation: spec})
    assert complaint in str(caught.value)


def test_all_mistakes_at_once() -> None:
    spec = {"a_a": "/x", "get_user": {"path": "x", "method": "y", "query": {"z": "z"}}, "list_users": "/people"}
    with pytest.raises(ValueError, match="no such operation") as caught:
        override(ROUTES, spec)
    assert len(str(caught.value).splitlines()) == 4


def test_a_plain_route_is_a_read_without_parameters() -> None:
    assert not Route("GET", "/x").is_write
    assert Route("GET", "/x").query == {}
