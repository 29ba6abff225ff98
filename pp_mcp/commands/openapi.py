"""Comparing the routes with a tenant's own OpenAPI document, and the PP_ROUTES that repair what differs.

An operation is recognised by its operationId, then by method and path, then by likeness. Of two candidates that are
about as alike none is taken: a wrong guess would write where nobody meant to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from pp_mcp.api.routes import PLACEHOLDER, ROUTES, Route, override
from pp_mcp.config import API_PATH
from pp_mcp.text import listed, neutralise, word

T = TypeVar("T")
U = TypeVar("U")
Json = dict[str, Any]
Fields = dict[str, Json]
"""Name of a parameter or field → `type`, `values` (those it may have) and `required`, as far as they are known."""

EXPECTED = "expected.json"
"""The contract that the tools are built on, trimmed to what is compared."""

BREAKING = frozenset(
    {"missing", "path moved", "parameter missing", "parameter renamed", "parameter required", "field required"}
)
"""Kinds of differences with which a tool does not work, or not as it says."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Described:
    """An operation as an OpenAPI document describes it. `path` is below the API's base URL."""

    operation_id: str
    method: str
    path: str
    tag: str
    summary: str
    query: Fields
    body: Fields
    answer: Fields


@dataclass(frozen=True)
class Difference:
    """One thing in which the tenant's document differs."""

    operation: str
    kind: str
    detail: str
    repaired: bool = False


@dataclass
class Comparison:
    """All differences, and the PP_ROUTES that repair what routes can: the present ones included."""

    differences: list[Difference] = field(default_factory=list[Difference])
    routes: Json = field(default_factory=dict[str, Any])


# --- reading --------------------------------------------------------------------------------------------------------


@cache
def expected() -> dict[str, Described]:
    """The operations of the contract that the tools are built on, by operationId."""
    text = files("pp_mcp.commands").joinpath(EXPECTED).read_text(encoding="utf-8")
    return {one.operation_id: one for one in TypeAdapter(list[Described]).validate_json(text)}


def described(document: Json, base_path: str = API_PATH) -> Iterator[Described]:
    """The operations of an OpenAPI 3 document; `base_path` is the path of the API's base URL.

    Raises:
        ValueError: it is no such document.
    """
    paths = document.get("paths")
    if not str(document.get("openapi", "")).startswith("3") or not isinstance(paths, dict):
        raise ValueError("It is no OpenAPI 3 document in JSON.")
    for path, item in cast("dict[str, Any]", paths).items():
        shared = _object(document, item)
        for method, node in shared.items():
            if method.upper() not in METHODS:
                continue
            found = _object(document, node)
            parameters = [_object(document, one) for part in (shared, found) for one in _list(part, "parameters")]
            answers = _object(document, found.get("responses"))
            success = next((answers[code] for code in sorted(answers) if code.startswith("2")), None)
            yield Described(
                operation_id=str(found.get("operationId") or ""),
                method=method.upper(),
                path=_below(document, path, base_path),
                tag=str(next(iter(_list(found, "tags")), "")),
                summary=str(found.get("summary") or ""),
                query={
                    str(one.get("name")): _field(document, one.get("schema"), one.get("required") is True)
                    for one in parameters
                    if one.get("in") == "query"
                },
                body=_fields(document, _schema_in(document, found.get("requestBody"))),
                answer=_fields(document, _row(document, _schema_in(document, success))),
            )


def _below(document: Json, path: str, base_path: str) -> str:
    """The path below the base URL: documents give it in the path, in the servers' addresses, or partly in each."""
    for whole in (path, _server_path(document) + path):
        if whole.startswith(f"{base_path}/"):
            return whole.removeprefix(base_path)
    return path


def _server_path(document: Json) -> str:
    server = next(iter(_list(document, "servers")), None)
    return urlsplit(str(_object(document, server).get("url", ""))).path.rstrip("/")


def _object(document: Json, node: Any) -> Json:
    """The object that stands here, or that a `$ref` within the document leads to; an empty one for anything else."""
    for _ in range(20):
        reference = cast("Json", node).get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        node = document
        for step in reference[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            node = cast("Json", node).get(step) if isinstance(node, dict) else None
    return cast("Json", node) if isinstance(node, dict) else {}


def _list(node: Json, name: str) -> list[Any]:
    found = node.get(name)
    return cast("list[Any]", found) if isinstance(found, list) else []


def _schema_in(document: Json, node: Any) -> Json:
    """The JSON schema of a request's or an answer's body."""
    content = _object(document, _object(document, node).get("content"))
    return _object(document, _object(document, content.get("application/json")).get("schema"))


def _arms(document: Json, schema: Json) -> list[Json]:
    """The schema and the parts it is made of, those that only allow null left out."""
    found = [schema]
    for arm in found:
        for part in (part for name in ("allOf", "anyOf", "oneOf") for part in _list(arm, name)):
            node = _object(document, part)
            if node.get("type") != "null" and all(node is not one for one in found):
                found.append(node)
    return found


def _row(document: Json, schema: Json) -> Json:
    """What a list has a row of, or the thing under `data`, or the schema itself."""
    for arm in _arms(document, schema):
        properties = _object(document, arm.get("properties"))
        for name in ("data", "items", "results"):
            if inner := _object(document, properties.get(name)):
                return _object(document, inner.get("items")) or inner
    return schema


def _fields(document: Json, schema: Json) -> Fields:
    found: Fields = {}
    for arm in _arms(document, schema):
        required = _list(arm, "required")
        for name, node in _object(document, arm.get("properties")).items():
            found[name] = _field(document, node, name in required)
    return found


def _field(document: Json, node: Any, required: bool) -> Json:
    made: Json = {"required": True} if required else {}
    for arm in _arms(document, _object(document, node)):
        kinds = [arm.get("type")] if isinstance(arm.get("type"), str) else _list(arm, "type")
        if "type" not in made and (kind := next((one for one in kinds if one != "null"), None)):
            made["type"] = " ".join(str(one) for one in (kind, arm.get("format")) if one)
        for place in (arm, _object(document, arm.get("items"))):
            if choices := [str(one) for one in _list(place, "enum") if one is not None]:
                made["values"] = choices
    return made


# --- comparing ------------------------------------------------------------------------------------------------------


def compare(routes: Mapping[str, Route], document: Json, base_path: str = API_PATH) -> Comparison:
    """Compares each operation of the routes with what the document describes. Raises ValueError, as `described`."""
    try:
        theirs = list(described(document, base_path))
    except (TypeError, AttributeError, LookupError):
        raise ValueError("It is no valid OpenAPI document.") from None
    ours = {name: replace(expected()[name], method=route.method, path=route.path) for name, route in routes.items()}
    found = _recognised(ours, theirs)
    result, repaired = Comparison(), dict(routes)
    server = _server_path(document)
    if server and not f"{server}/".startswith(f"{base_path}/") and not f"{base_path}/".startswith(f"{server}/"):
        result.differences.append(
            Difference("PP_BASE_URL", "address", f"The document's server has the path {word(server)}.")
        )
    for name, route in routes.items():
        if (other := found.get(name)) is None:
            result.differences.append(Difference(name, "missing", "Nothing in the document is clearly this operation."))
        else:
            repaired[name] = _compared(name, route, other, result.differences)
    for name, route in repaired.items():
        usual = ROUTES[name]
        entry: Json = {key: mine for key in ("method", "path") if (mine := getattr(route, key)) != getattr(usual, key)}
        if query := {mine: sent for mine, sent in route.query.items() if sent != usual.query[mine]}:
            entry["query"] = query
        if entry:
            result.routes[name] = entry
    return result


def _compared(name: str, route: Route, other: Described, differences: list[Difference]) -> Route:
    """Adds the differences of one operation, and gives its route with what can be repaired repaired."""
    ours, repaired = expected()[name], route

    def differs(kind: str, detail: str, repair: Json | None = None) -> None:
        nonlocal repaired
        try:
            repaired = override({name: repaired}, {name: repair})[name] if repair else repaired
        except ValueError:
            repair, detail = None, f"{detail} PP_ROUTES does not take that."
        differences.append(Difference(name, kind, detail, repair is not None))

    path = re.sub(r"\{[^}]*\}", PLACEHOLDER, other.path)
    if (other.method, path) != (route.method, route.path):
        where = f"{other.method} {neutralise(path, 200)}"
        differs("path moved", f"{route.method} {route.path} is {where} there.", {"method": other.method, "path": path})
    names = {**route.query, **_renamed(route, ours, other)}
    for mine, theirs in names.items():
        if theirs is None:
            differs("parameter missing", f"There is no parameter {mine}.")
        elif theirs != route.query[mine]:
            differs("parameter renamed", f"{mine} is {word(theirs)} there.", {"query": {mine: theirs}})
    for sent, about in other.query.items():
        if about.get("required") and sent not in names.values():
            differs("parameter required", f"The parameter {word(sent)} must be given there.")
    there = {mine: other.query[sent] for mine, sent in names.items() if sent is not None and sent in other.query}
    parts = (
        ("parameter", ours.query, there),
        ("field", ours.body, other.body),
        ("answer field", ours.answer, other.answer),
    )
    for what, mine, theirs in parts:
        for field_name, about in theirs.items():
            if field_name not in mine:
                must = what == "field" and about.get("required")
                differs("field required" if must else "field added", f"There is also the {what} {word(field_name)}.")
                continue
            known = mine[field_name]
            kinds = [str(one.get("type", "")).partition(" ")[0] for one in (known, about)]
            if all(kinds) and kinds[0] != kinds[1]:
                differs("type changed", f"The {what} {field_name} is {kinds[0]} here, {word(kinds[1])} there.")
            before, after = set(known.get("values") or []), set(about.get("values") or [])
            if before and after and before != after:
                changes = [
                    *map("+{}".format, map(word, sorted(after - before))),
                    *map("-{}".format, sorted(before - after)),
                ]
                kind = "enum grown" if before < after else "enum changed"
                differs(kind, f"The {what} {field_name}: {listed(changes, 20)}.")
        if theirs and what != "parameter":
            for gone in [one for one in mine if one not in theirs]:
                differs("field missing", f"The {what} {gone} is not there.")
    return repaired


# --- recognising ----------------------------------------------------------------------------------------------------

ENOUGH, CLEARLY = 0.55, 0.06
"""How alike two things must be to be the same, and by how much more than either is to any other."""


def _pairs(ours: Mapping[str, T], theirs: list[U], alike: Callable[[T, U], float]) -> dict[str, U]:
    """Which of theirs is which of ours: the pairs that are alike enough, and clearly more than either is to another."""
    found: dict[str, U] = {}
    scores = {(name, at): alike(one, other) for name, one in ours.items() for at, other in enumerate(theirs)}
    while scores and scores[best := max(scores, key=scores.__getitem__)] >= ENOUGH:
        rivals = [pair for pair in scores if (pair[0] == best[0]) != (pair[1] == best[1])]
        close = [best, *(pair for pair in rivals if scores[pair] > scores[best] - CLEARLY)]
        if len(close) == 1:
            found[best[0]] = theirs[best[1]]
        names, places = {name for name, _ in close}, {at for _, at in close}
        scores = {pair: score for pair, score in scores.items() if pair[0] not in names and pair[1] not in places}
    return found


def _recognised(ours: Mapping[str, Described], theirs: list[Described]) -> dict[str, Described]:
    found: dict[str, Described] = {}
    keys: list[Callable[[Described], object]] = [
        lambda one: "".join(_tokens(one.operation_id)) or None,
        lambda one: (one.method, re.sub(r"\{[^}]*\}", "{}", one.path).rstrip("/")),
    ]
    for key in keys:
        for name, one in ours.items():
            same = [other for other in theirs if key(other) == key(one) and _may_be(one, other)]
            if name not in found and len(same) == 1:
                found[name] = same[0]
                theirs = [other for other in theirs if other is not same[0]]
    return found | _pairs({name: one for name, one in ours.items() if name not in found}, theirs, _likeness)


_NOUNS = re.compile("user|people|person|group|member|article|assignment|content|item|enrol|token|event|badge|channel")
_BACK = re.compile("un(?!i)|re(?:vert|open|store|move)|undo|delete|clear|back")


def _tokens(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())


def _resource(one: Described) -> set[str]:
    """The nouns it is about: those of the path before the id, else of the tag, else of the operationId."""
    found = (_NOUNS.findall(text.lower()) for text in (one.path.partition("{")[0], one.tag, one.operation_id))
    return {"user" if noun in ("people", "person") else noun for noun in next(filter(None, found), list[str]())}


def _verbs(one: Described) -> list[str]:
    """What it does: the words of the operationId and of the path's last step that are no nouns."""
    said = [*_tokens(one.operation_id), *_tokens(one.path.rstrip("/").rpartition("/")[2].partition("{")[0])]
    return [{"destroy": "delete", "retrieve": "get"}.get(verb, verb) for verb in said if not _NOUNS.search(verb)]


def _takes_back(one: Described) -> bool:
    """Whether it takes something away or back: never to be confused with what does it."""
    return one.method == "DELETE" or any(_BACK.match(verb) for verb in [*_verbs(one), *_tokens(one.summary)[:3]])


def _may_be(ours: Described, other: Described) -> bool:
    """Whether the two can be the same at all: both read or both write, and both are about one thing or about many."""
    return (ours.method == "GET") == (other.method == "GET") and ours.path.count("{") == other.path.count("{")


def _likeness(ours: Described, other: Described) -> float:
    if not _may_be(ours, other) or (ours.method != "GET" and _takes_back(ours) != _takes_back(other)):
        return 0.0
    both = ((ours.query, other.query), (ours.body, other.body), (ours.answer, other.answer))
    shared = [_shared(mine, theirs) for mine, theirs in both if mine or theirs]
    form = sum(shared) / len(shared) if shared else 0.5
    about = _resource(other)
    if not about & _resource(ours) if about else form < 0.5:
        return 0.0
    said = [_shared(_tokens(ours.summary), _tokens(other.summary))] if other.summary else []
    if verbs := _verbs(other):
        said.append(_covered(_verbs(ours), verbs))
    path = _covered(ours.path.split("/")[1:], other.path.split("/")[1:])
    return 0.4 * max(said, default=form) + 0.3 * form + 0.2 * path + 0.1 * (ours.method == other.method)


def _shared(one: Iterable[str], other: Iterable[str]) -> float:
    return len({*one} & {*other}) / len({*one} | {*other})


def _covered(ours: list[str], theirs: list[str]) -> float:
    """How many of our words there are among theirs, from 0 to 1. Words that are hardly alike do not count."""
    best = [max(_ratio(one, other) for other in theirs) for one in ours]
    return sum(ratio for ratio in best if ratio >= 0.65) / max(len(best), 1)


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio()


_MEANS = {
    **dict.fromkeys(("q", "query", "term", "text"), "search"),
    **dict.fromkeys(("from", "after", "since", "min", "start", "gt"), "gte"),
    **dict.fromkeys(("to", "before", "until", "max", "end", "lt"), "lte"),
    **dict.fromkeys(("per", "limit", "pagesize"), "size"),
    **dict.fromkeys(("number", "no", "index"), "page"),
    **dict.fromkeys(("person", "learner", "assignee"), "user"),
    **dict.fromkeys(("updated", "changed"), "modified"),
}
"""Words of parameters and the word for the same in ours."""

_SAY_LITTLE = frozenset({"id", "public", "uuid", "is", "by", "page"})
_TURN = frozenset({"gte", "lte", "size", "include", "exclude", "not", "without"})
"""Words that make another parameter of one."""


def _renamed(route: Route, ours: Described, other: Described) -> dict[str, str | None]:
    """Our name of each parameter that the document has not as it is sent → its name there, None where nothing is
    clearly it."""
    gone = {mine: mine for mine, sent in route.query.items() if sent not in other.query}
    free = [sent for sent in other.query if sent not in route.query.values()]

    def alike(mine: str, theirs: str) -> float:
        one, two = ours.query.get(mine, {}), other.query[theirs]
        kinds = {str(about.get("type", "")).partition(" ")[0].replace("array", "string") for about in (one, two)} - {""}
        words = [{_MEANS.get(token, token) for token in _tokens(name)} - {"filter"} for name in (mine, theirs)]
        if len(kinds) > 1 or (words[0] ^ words[1]) & _TURN or ("page" in words[0]) > bool({"page", "size"} & words[1]):
            return 0.0
        telling = [names - _SAY_LITTLE or names for names in words]
        values = set(one.get("values") or []) & set(two.get("values") or [])
        return max(_shared(*telling), _ratio(mine, theirs) - 0.2) + (0.3 if len(values) > 1 else 0.0)

    return {**dict.fromkeys(gone), **_pairs(gone, free, alike)}
