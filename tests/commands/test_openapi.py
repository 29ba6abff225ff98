"""Comparing with a tenant's OpenAPI document: what moved is found again, and what is not clear is not guessed."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from stage import some_of

from pp_mcp.api.routes import ROUTES, override
from pp_mcp.commands.openapi import Comparison, compare, expected

from .trim import DOCUMENT, TARGET, text

Json = dict[str, Any]

CONTRACT: Json = json.loads(DOCUMENT.read_text(encoding="utf-8"))


def contract(*, ids: bool = True, summaries: bool = True) -> Json:
    """A copy of the contract, with or without its operationIds and summaries."""
    made = copy.deepcopy(CONTRACT)
    for item in made["paths"].values():
        for operation in item.values():
            operation["x-is"] = operation["operationId"]
            if not ids:
                del operation["operationId"]
            if not summaries:
                del operation["summary"]
    return made


def moved(document: Json, path: Callable[[str], str], only: str | None = None) -> Json:
    """The document with its paths changed: all of them, or one."""
    document["paths"] = {path(old) if only in (None, old) else old: item for old, item in document["paths"].items()}
    return document


def renamed(document: Json, name: Callable[[str], str], only: tuple[str, str] | None = None) -> Json:
    """The document with its query parameters renamed: all of them, or one of an operation."""
    for path, item in document["paths"].items():
        for parameter in item.get("get", {}).get("parameters", []):
            if parameter["in"] == "query" and only in (None, (path, parameter["name"])):
                parameter["name"] = name(parameter["name"])
    return document


def kinds(result: Comparison) -> set[str]:
    return {one.kind for one in result.differences}


def camel(name: str) -> str:
    return re.sub(r"[_-](\w)", lambda letter: letter[1].upper(), name)


PLACES: dict[str, Callable[[str], str]] = {
    "below a folder": lambda path: f"/learning{path}",
    "with a slash at the end": lambda path: f"{path}/",
    "in camelCase": camel,
    "with underscores": lambda path: path.replace("-", "_"),
    "in the singular": lambda path: re.sub(r"^/([a-z-]+)s\b", r"/\1", path),
    "by other words": lambda path: path.replace("/users", "/people").replace("/content-items", "/content"),
    "with a suffix": lambda path: re.sub(r"^/([a-z-]+)", r"/\1-v2", path),
    "another name for the id": lambda path: path.replace("{public_id}", "{id}"),
}

NAMES: dict[str, Callable[[str], str]] = {
    "camelCase": camel,
    "filter[…]": lambda name: f"filter[{name}]",
    "…_id and plurals": lambda name: {"page": "page_no", "page_size": "limit"}.get(
        name,
        f"{name}_id"
        if name in ("user", "group", "manager", "event", "channel")
        else re.sub("_([gl]te)$|$", r"s\g<0>", name, count=1),
    ),
    "Django's __gte": lambda name: re.sub("_([gl]te)$", r"__\1", name) if name.endswith("te") else f"{name}_",
    "words": lambda name: {"page_size": "per_page", "page": "page_number", "search": "q"}.get(
        name, name.replace("_gte", "_after").replace("_lte", "_before").replace("modified", "updated")
    ),
}

PATHS = list(CONTRACT["paths"])
PARAMETERS = [
    (path, parameter["name"])
    for path, item in CONTRACT["paths"].items()
    for parameter in item.get("get", {}).get("parameters", [])
    if parameter["in"] == "query"
]


def test_the_file_is_the_contract_trimmed() -> None:
    assert TARGET.read_text(encoding="utf-8") == text()


def test_the_contract_and_the_routes_agree() -> None:
    assert expected().keys() == ROUTES.keys()
    for name, route in ROUTES.items():
        one = expected()[name]
        assert (one.method, one.path, set(one.query)) == (route.method, route.path, set(route.query))


@pytest.mark.parametrize("ids", [True, False])
def test_the_contract_itself_differs_in_nothing(ids: bool) -> None:
    assert compare(ROUTES, contract(ids=ids)) == Comparison()


def leads(document: Json, result: Comparison, *, all_found: bool = True) -> None:
    """The repaired routes are accepted, and each leads to the very operation that moved, or to none."""
    routes = override(ROUTES, result.routes)
    operations = {
        (method.upper(), re.sub(r"\{\w+\}", "{public_id}", path)): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    missing = {one.operation for one in result.differences if one.kind == "missing"}
    assert not (all_found and missing)
    for name, route in routes.items():
        there = operations.get((route.method, route.path))
        if name in missing:
            assert route == ROUTES[name]
            continue
        assert there is not None
        assert there["x-is"] == name
        unclear = {
            one.detail.rpartition(" ")[2].rstrip(".") for one in result.differences if one.kind == "parameter missing"
        }
        taken = [one["name"] for one in there.get("parameters", []) if one["in"] == "query"]
        for place, mine in enumerate(expected()[name].query):
            assert route.query[mine] == taken[place] or mine in unclear, (name, mine)
            assert not (all_found and mine in unclear), (name, mine)


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_every_path_moved_at_once(place: str, ids: bool) -> None:
    document = moved(contract(ids=ids), PLACES[place])
    result = compare(ROUTES, document)
    leads(document, result)
    assert kinds(result) <= {"path moved"}
    assert all(one.repaired for one in result.differences)


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("path", some_of(PATHS))
def test_one_path_moved(path: str, ids: bool) -> None:
    for place in PLACES.values():
        document = moved(contract(ids=ids, summaries=ids), place, path)
        leads(document, compare(ROUTES, document))


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_renamed_at_once(name: str, ids: bool) -> None:
    document = renamed(contract(ids=ids), NAMES[name])
    result = compare(ROUTES, document)
    leads(document, result)
    assert kinds(result) == {"parameter renamed"}


@pytest.mark.parametrize("parameter", some_of(PARAMETERS), ids=" ".join)
def test_one_parameter_renamed(parameter: tuple[str, str]) -> None:
    for name in NAMES.values():
        document = renamed(contract(ids=False), name, parameter)
        leads(document, compare(ROUTES, document))


@pytest.mark.parametrize("ids", [True, False])
def test_everything_moved_at_once(ids: bool) -> None:
    for place in PLACES.values():
        for name in NAMES.values():
            document = renamed(moved(contract(ids=ids), place), name)
            leads(document, compare(ROUTES, document))


def nonsense(text: str) -> str:
    """A path of meaningless words with the same ids in it."""
    words = (f"/{hash_of(step)}" if "{" not in step else f"/{step}" for step in text.strip("/").split("/"))
    return "".join(words)


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6].translate(str.maketrans("0123456789", "ghijklmnop"))


@pytest.mark.parametrize("summaries", [True, False])
@pytest.mark.parametrize("ids", [True, False])
def test_names_without_any_meaning_are_never_guessed_wrongly(ids: bool, summaries: bool) -> None:
    document = renamed(moved(contract(ids=ids, summaries=summaries), nonsense), hash_of)
    result = compare(ROUTES, document)
    leads(document, result, all_found=False)
    missing = {one.operation for one in result.differences if one.kind == "missing"}
    if ids or summaries:
        assert not missing
    else:
        # Nothing tells them apart any more.
        assert {"complete_assignment", "exempt_assignment", "revert_completion", "revert_exemption"} <= missing


def in_the_style_of(framework: str) -> Json:
    """The contract as a framework would write it: paths with a prefix and a slash at the end, no tags or summaries."""
    document = contract(summaries=False)
    verbs = {"list": "list", "get": "retrieve", "create": "create", "update": "partial_update", "delete": "destroy"}
    for path, item in document["paths"].items():
        things, tail = (re.sub("[-/]", "_", part.strip("/")) for part in (path.split("/")[1], path.rpartition("}")[2]))
        for method, operation in item.items():
            name = operation["operationId"]
            verb = verbs.get(name.partition("_")[0])
            operation["operationId"] = {
                "Django REST framework": f"{things}_{verb}"
                if verb and (not tail or path == f"/{things}")
                else f"{things}_{tail}_{method}",
                "Django Ninja": f"plusplus_api_v2_{things}_views_{name}",
                "FastAPI": f"{name}_{things}_{tail}_{method}",
            }[framework]
            del operation["tags"]
    return moved(document, lambda path: f"/api{path}/")


@pytest.mark.parametrize("framework", ["Django REST framework", "Django Ninja", "FastAPI"])
def test_documents_of_common_frameworks(framework: str) -> None:
    document = in_the_style_of(framework)
    leads(document, compare(ROUTES, document))


OTHERS = {
    "/users/{id}": {"delete": "delete_user Delete a user for good."},
    "/users/{id}/deactivate": {"post": "deactivate_user Deactivate a user."},
    "/articles/{id}": {"delete": "delete_article Delete an article for good, with its history."},
    "/groups/{id}": {"delete": "delete_group Delete a group."},
    "/groups/{id}/archive": {"post": "archive_group Archive a group."},
    "/assignments/{id}/pause": {"post": "pause_assignment Pause. 409 unless outstanding."},
    "/assignments/{id}": {"delete": "delete_assignment Delete an assignment for good."},
    "/assignments/bulk-delete": {"post": "bulk_delete_assignments Delete up to 100 assignments."},
    "/content-items/{id}/publish": {"post": "publish_content_item Publish."},
    "/content-items/bulk-delete": {"post": "bulk_delete_content_items Delete up to 100 items."},
    "/content-items": {"post": "create_content_item Create a content item."},
    "/badges": {"get": "list_badges List badges.", "post": "create_badge Create a badge."},
    "/badges/{id}": {"get": "get_badge One badge.", "patch": "update_badge Change the fields sent."},
    "/events": {"get": "list_events List events."},
    "/auth/tokens/{id}": {"delete": "revoke_api_token Revoke an API token."},
}
"""What such an API may have besides."""


def with_others(document: Json, ids: bool) -> Json:
    for path, item in OTHERS.items():
        there = document["paths"].setdefault(path.replace("{id}", "{public_id}"), {})
        for method, said in item.items():
            name, _, summary = said.partition(" ")
            assert method not in there
            there[method] = {"summary": summary, "x-is": "", "responses": {"200": {}}, "parameters": []}
            there[method] |= {"operationId": name} if ids else {}
    return document


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_other_operations_are_not_taken_for_ours(place: str, ids: bool) -> None:
    document = moved(with_others(contract(ids=ids), ids), PLACES[place])
    leads(document, compare(ROUTES, document))


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("operation", some_of(ROUTES))
def test_what_is_not_there_is_missing(operation: str, ids: bool) -> None:
    for summaries in (True, False):
        document = with_others(contract(ids=ids, summaries=summaries), ids)
        for item in document["paths"].values():
            for method in [method for method, one in item.items() if one["x-is"] == operation]:
                del item[method]
        result = compare(ROUTES, document)
        assert [(one.operation, one.kind) for one in result.differences] == [(operation, "missing")]
        assert result.routes == {}


def schema(document: Json, name: str) -> Json:
    return document["components"]["schemas"][name]


def found(document: Json) -> list[tuple[str, str, str]]:
    return [(one.operation, one.kind, one.detail) for one in compare(ROUTES, document).differences]


def test_a_field_more_and_one_less() -> None:
    document = contract()
    schema(document, "ArticleCreate")["properties"]["language"] = {"type": "string"}
    schema(document, "UserCreate")["properties"]["country"] = {"type": "string"}
    schema(document, "UserCreate")["required"] += ["country"]
    del schema(document, "AssignmentDrop")["properties"]["reason"]
    schema(document, "AssignmentDrop")["properties"]["note"] = {"type": "string"}
    schema(document, "Enrollment")["properties"]["seat"] = {"type": "integer"}
    assert found(document) == [
        ("create_user", "field required", "There is also the field country."),
        ("create_article", "field added", "There is also the field language."),
        ("drop_assignment", "field added", "There is also the field note."),
        ("drop_assignment", "field missing", "The field reason is not there."),
        ("list_enrollments", "field added", "There is also the answer field seat."),
    ]


def test_an_enum_that_grew_and_one_that_changed() -> None:
    document = contract()
    schema(document, "Role")["enum"] = ["admin", "organizer", "user", "auditor"]
    schema(document, "EnrollmentStatus")["enum"] = ["enrolled", "waiting"]
    differences = found(document)
    assert ("list_users", "enum grown", "The parameter role: +auditor.") in differences
    assert ("create_user", "enum grown", "The field role: +auditor.") in differences
    assert ("get_user", "enum grown", "The answer field role: +auditor.") in differences
    changed = [detail for name, kind, detail in differences if (name, kind) == ("list_enrollments", "enum changed")]
    assert "+waiting" in changed[0]
    assert "-checked_in" in changed[0]


def test_parameters_that_are_required_gone_or_of_another_type() -> None:
    document = contract()
    parameters = document["paths"]["/groups"]["get"]["parameters"]
    parameters[:] = [one for one in parameters if one["name"] != "source"]
    parameters.append({"name": "org", "in": "query", "required": True, "schema": {"type": "string"}})
    document["paths"]["/enrollments"]["get"]["parameters"][0]["schema"] = {"type": ["integer", "null"]}
    assert found(document) == [
        ("list_groups", "parameter missing", "There is no parameter source."),
        ("list_groups", "parameter required", "The parameter org must be given there."),
        ("list_enrollments", "type changed", "The parameter user is string here, integer there."),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("manager", "manager_email"),
        ("group", "group_name"),
        ("is_archived", "include_archived"),
        ("due_date_gte", "due_date"),
        ("page", "cursor"),
        ("page", "offset"),
        ("search", "sort"),
        ("email", "email_domain"),
    ],
)
def test_a_parameter_of_another_meaning_is_not_taken(ours: str, theirs: str) -> None:
    document = renamed(contract(), lambda name: theirs if name == ours else name)
    result = compare(ROUTES, document)
    assert kinds(result) == {"parameter missing"}
    assert result.routes == {}


def test_what_routes_cannot_say_is_not_repaired() -> None:
    document = moved(contract(), lambda path: f"{path}.json" if path == "/users" else f"{path}/a%20b", "/users")
    document["paths"]["/us ers"] = document["paths"].pop("/users.json")
    document["paths"]["/groups"]["get"]["parameters"][0]["name"] = "name "
    result = compare(ROUTES, document)
    assert result.routes == {}
    assert {(one.operation, one.kind, one.repaired) for one in result.differences} == {
        ("list_users", "path moved", False),
        ("create_user", "path moved", False),
        ("list_groups", "parameter renamed", False),
    }


def test_routes_that_are_set_already_stay() -> None:
    routes = override(ROUTES, {"list_users": {"path": "/people"}, "get_group": {"path": "/old/{public_id}"}})
    document = moved(contract(), lambda path: path.replace("/users", "/people"))
    repaired = compare(routes, document).routes
    assert repaired["list_users"] == {"path": "/people"}
    assert repaired["get_user"] == {"path": "/people/{public_id}"}
    assert "get_group" not in repaired


@pytest.mark.parametrize("server", ["/public_api/v2", "/public_api", "", "/"])
def test_where_the_prefix_stands_does_not_matter(server: str) -> None:
    document = contract()
    document["servers"] = [{"url": f"https://acme.plusplus.app{server}"}]
    prefix = "/public_api/v2".removeprefix(server.rstrip("/"))
    assert compare(ROUTES, moved(document, lambda path: prefix + path)) == Comparison()


def test_another_address_is_told() -> None:
    document = contract()
    document["servers"] = [{"url": "https://acme.plusplus.app/api/v3"}]
    assert [one[:2] for one in found(document)] == [("PP_BASE_URL", "address")]


@pytest.mark.parametrize(
    "document",
    [{}, {"openapi": "3.1.0"}, {"swagger": "2.0", "paths": {}}, {"openapi": "3.1.0", "paths": []}],
)
def test_what_is_no_openapi_document_is_refused(document: Json) -> None:
    with pytest.raises(ValueError, match="OpenAPI"):
        compare(ROUTES, document)


def test_odd_documents_do_no_harm() -> None:
    loop = {"$ref": "#/components/schemas/A"}
    odd = {"get": {"parameters": [3, {"name": None, "in": "query", "schema": [1]}], "tags": 3, "responses": {"200": 1}}}
    document = contract()
    document["paths"] |= {
        "/odd": odd,
        "/x": None,
        "/y": {"post": {"requestBody": {"content": {"application/json": {"schema": loop}}}}},
    }
    document["components"]["schemas"]["A"] = {"allOf": [loop, loop], "$ref": "#/components/schemas/B"}
    document["components"]["schemas"]["B"] = {"$ref": "#/components/schemas/A", "anyOf": [loop]}
    assert compare(ROUTES, document) == Comparison()
