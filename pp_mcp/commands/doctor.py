"""`pp-mcp doctor`: does this tenant do what the tools expect? Found out by GET, HEAD and OPTIONS alone.

A write whose path tells nothing to these is *not checked*: only a write would tell.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import urlsplit

import anyio
import click
import httpx2
from pydantic import BaseModel

from pp_mcp.api import Client
from pp_mcp.api.routes import PLACEHOLDER, ROUTES
from pp_mcp.commands import chosen, make_server, offered, server_options, stop
from pp_mcp.commands.openapi import BREAKING, Comparison, compare, expected
from pp_mcp.commands.show import console, table
from pp_mcp.config import Settings
from pp_mcp.declare import Operation
from pp_mcp.errors import ApiError, Forbidden, NotReached, PlusPlusError, error_from_answer
from pp_mcp.models import Enrollment
from pp_mcp.server.references import SOURCES
from pp_mcp.text import listed, plural, quoted, word
from pp_mcp.values import is_this_computer

if TYPE_CHECKING:
    from pp_mcp.demo import Tenant

State = Literal["ready", "note", "not checked", "other form", "lacks permission", "endpoint missing", "failed"]

STATES: tuple[State, ...] = get_args(State)
"""From the best to the worst."""

WRONG = frozenset(STATES[3:])
"""States in which something does not work."""

STYLES: dict[str, str] = {
    "ready": "green",
    "note": "yellow",
    "not checked": "yellow",
    **dict.fromkeys(WRONG, "bold red"),
}

CLOCK_TOLERANCE = 60.0
"""Seconds by which this computer's clock and the API's may differ."""

MODELS: dict[str, type[BaseModel]] = {
    **{name: source.model for source in SOURCES.values() for name in (source.get, source.find)},
    "list_enrollments": Enrollment,
}
"""What each operation that reads answers with."""

ALSO_NEEDS = {
    "create_user": "list_users",
    "create_group": "list_groups",
    "list_group_members": "list_users",
    "search_content": "list_content_items",
    "get_content_item": "list_assignments",
    "update_content_item": "list_users",
    "delete_content_item": "list_assignments",
    "list_overdue_assignments": "list_assignments",
    "assign_content": "list_assignments",
    "report_assignments": "list_assignments list_users",
    "report_content": "list_content_items list_assignments",
    "report_enrollments": "list_enrollments",
    "get_learner_summary": "list_assignments",
    "bulk_assign_content": "assign_content list_assignments list_users",
    "bulk_update_assignments": "list_assignments get_assignment update_assignment complete_assignment drop_assignment "
    "exempt_assignment revert_completion revert_exemption",
}
"""Operations of the API that a tool needs besides its own and those that find the things it must be given."""


def needs(tool: Operation) -> list[str]:
    """The operations of the API that a tool needs."""
    must = [tool.references[name].kind for name in tool.input_schema.get("required", []) if name in tool.references]
    finding = [name for kind in must if kind in SOURCES for name in (SOURCES[kind].get, SOURCES[kind].find)]
    own = [tool.name] if tool.name in ROUTES else []
    return list(dict.fromkeys([*own, *finding, *ALSO_NEEDS.get(tool.name, "").split()]))


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and why."""

    name: str
    state: State
    detail: str = ""


@dataclass
class Findings:
    """All that was found. `checks` are about the connection, `tools` about each tool."""

    checks: list[Check]
    tools: list[Check] = field(default_factory=list[Check])
    comparison: Comparison | None = None

    @property
    def connected(self) -> bool:
        """Whether PlusPlus can be used at all."""
        return all(one.state != "failed" for one in self.checks)

    @property
    def exit_code(self) -> int:
        """0: everything works, as far as this tells; 1: something is missing; 2: PlusPlus cannot be used at all."""
        differences = self.comparison.differences if self.comparison else []
        wrong = any(one.state in WRONG for one in self.tools) or any(one.kind in BREAKING for one in differences)
        return int(wrong) if self.connected else 2


class Doctor:
    """Examines one tenant through a client of its API."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids: dict[str, str] = {}
        self._found: dict[str, Check] = {}

    async def connection(self, *, network: bool = True) -> list[Check]:
        """What one request shows; `failed` where PlusPlus cannot be used. `network` is false for a demo tenant."""
        url = urlsplit(self._client.base_url)
        steps = ["DNS", "connection", *(["TLS"] if url.scheme == "https" else [])] if network else ["connection"]
        try:
            answer = await self._client.call().look("GET", "list_users")
        except PlusPlusError as error:
            said = error.detail if isinstance(error, NotReached) else error.message
            failing = next((step for step in steps if step in said), "connection")
            good = [Check(step, "ready") for step in steps[: steps.index(failing)]]
            return [*good, Check(failing, "failed", f"{url.hostname}: {said}. Check PP_TENANT or PP_BASE_URL.")]
        checks = [*(Check(step, "ready") for step in steps), _clock(answer.headers), _rate(answer.headers)]
        if answer.status_code == 401 or answer.status_code >= 500:
            failing = "token" if answer.status_code == 401 else "answers"
            said = error_from_answer(answer.status_code, answer.headers, answer.content, "list_users", "GET").message
            checks.append(Check(failing, "failed", f"HTTP {answer.status_code}, {quoted(said, 200)}."))
        return checks

    async def operations(self) -> dict[str, Check]:
        """Checks every operation of the API."""
        reads = [name for name, route in self._client.routes.items() if not route.is_write]
        lists = [name for name in reads if PLACEHOLDER not in ROUTES[name].path]
        for names in (lists, [name for name in self._client.routes if name not in lists]):
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(self._operation, name)
        return self._found

    async def _operation(self, name: str) -> None:
        collection, needs_id, _ = ROUTES[name].path.partition(f"/{PLACEHOLDER}")
        public_id = self._ids.get(collection) if needs_id else None
        try:
            if needs_id and public_id is None:
                found = Check(name, "not checked", f"There is nothing below {collection} to try it on.")
            elif self._client.routes[name].is_write:
                found = await self._write(name, public_id)
            elif public_id is not None:
                await self._client.call().one(name, MODELS[name], public_id)
                found = Check(name, "ready")
            else:
                found = await self._list(name, collection)
        except PlusPlusError as error:
            found = _failure(name, error)
        self._found[name] = found

    async def _list(self, name: str, collection: str) -> Check:
        page = await self._client.call().page(name, MODELS[name])
        for row in page.items[:1]:
            self._ids[collection] = str(getattr(row, "public_id", ""))
        filters = [one for one in self._client.routes[name].query if one not in ("page", "page_size")]
        ignored = [one for one in filters if page.total_count and await self._ignores(name, one, page.total_count)]
        if ignored:
            return Check(
                name, "other form", f"Filters that change nothing and may have other names: {listed(ignored, 20)}."
            )
        return Check(name, "ready", plural(page.total_count, "row"))

    async def _ignores(self, name: str, parameter: str, total: int) -> bool:
        """Whether the list has all its rows even for a value that none can have, or for each of two different ones."""
        known = expected()[name].query[parameter]
        kind = known.get("type", "")
        values: list[Any] = known.get("values", ["00000000-0000-4000-8000-000000000000"])[:2]
        if kind == "boolean":
            values = [True, False]
        elif "date" in kind:
            day = "1900-01-01" if parameter.endswith("_lte") else "2999-12-31"
            values = [f"{day}T00:00:00Z" if kind.endswith("time") else day]
        try:
            for value in values:
                page = await self._client.call().page(name, MODELS[name], page_size=1, **{parameter: value})
                if page.total_count < total:
                    return False
        except PlusPlusError:
            return False
        return True

    async def _write(self, name: str, public_id: str | None) -> Check:
        method, statuses = self._client.routes[name].method, list[int]()
        for harmless in ("OPTIONS", "HEAD"):
            answer = await self._client.call().look(harmless, name, public_id)
            allowed = {one.strip().upper() for one in answer.headers.get("allow", "").split(",")} - {""}
            if method in allowed:
                return Check(name, "ready", f"The path takes {method}.")
            if allowed:
                return Check(
                    name, "endpoint missing", f"The path takes {listed(sorted(map(word, allowed)), 8)}, not {method}."
                )
            if answer.status_code == 403 and harmless == "OPTIONS":
                raise error_from_answer(403, answer.headers, answer.content, name, harmless)
            statuses.append(answer.status_code)
        if set(statuses) <= {404, 410}:
            return Check(name, "endpoint missing", f"HTTP {statuses[0]} to OPTIONS and HEAD.")
        return Check(name, "not checked", "OPTIONS and HEAD do not tell, and only a write would.")


def _clock(headers: Mapping[str, str]) -> Check:
    try:
        apart = abs((datetime.now(UTC) - parsedate_to_datetime(headers.get("date", ""))).total_seconds())
    except (ValueError, TypeError):
        return Check("clock", "not checked", "The answer has no date.")
    detail = f"This computer's clock and PlusPlus's are {apart:,.0f} seconds apart."
    return Check("clock", "note", detail) if apart > CLOCK_TOLERANCE else Check("clock", "ready")


def _rate(headers: Mapping[str, str]) -> Check:
    limit, left, reset = (word(headers.get(f"x-ratelimit-{name}", "")) for name in ("limit", "remaining", "reset"))
    if "none" in (left, reset):
        return Check("rate limit", "note", "The answers do not say how many requests are left.")
    return Check("rate limit", "ready", f"{left} of {limit} requests left until the reset in {reset} s.")


def _failure(name: str, error: PlusPlusError) -> Check:
    status = error.status if isinstance(error, ApiError) else 0
    if isinstance(error, Forbidden):
        return Check(name, "lacks permission", f"PlusPlus says {quoted(error.message, 200)}.")
    if status in (404, 405, 410) or 300 <= status <= 399:
        return Check(name, "endpoint missing", f"HTTP {status}: it may have another path there (see --openapi).")
    if status in (0, 401, 429) or status >= 500:
        return Check(name, "not checked", error.message)
    return Check(name, "other form", f"HTTP {status}: {getattr(error, 'detail', error.message)}.")


def _tools(tools: Iterable[Operation], found: Mapping[str, Check]) -> Iterator[Check]:
    """Of each tool the worst of what it needs; its own operation where all is well."""
    for tool in tools:
        worst = max((found[name] for name in needs(tool)), key=lambda one: STATES.index(one.state))
        where = f"{worst.name}: " if worst.detail and worst.name != tool.name else ""
        yield Check(tool.name, worst.state, f"{where}{worst.detail}")


async def examine(client: Client, settings: Settings, *, network: bool = True) -> Findings:
    """Everything but the comparison."""
    doctor, findings = Doctor(client), Findings([Check("settings", "ready", settings.base_url)])
    findings.checks += await doctor.connection(network=network)
    if findings.connected:
        found = await doctor.operations()
        refused = [one.detail for one in found.values() if one.state == "lacks permission"]
        role = next(iter(refused), "PlusPlus does not say which role it has, and refused it nothing that was tried.")
        is_known = bool(refused) or any(found[name].state == "ready" for name in MODELS)
        token = (
            Check("token", "ready", f"Accepted. {role}")
            if is_known
            else Check("token", "not checked", "Nothing can be read.")
        )
        findings.checks.append(token)
        findings.tools += _tools(offered(settings), found)
    return findings


async def _document(where: str, settings: Settings) -> dict[str, Any]:
    """The OpenAPI document in a file or at an address; the API token goes only to the API's own."""
    if not where.startswith(("http://", "https://")):
        return _read_object(await anyio.Path(where).read_bytes())
    url, own = urlsplit(where), urlsplit(settings.base_url)
    if url.scheme == "http" and not is_this_computer(url.hostname or ""):
        raise ValueError("http:// is for this computer only; use https://.")
    same = (url.scheme, url.netloc.lower()) == (own.scheme, own.netloc)
    headers = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"} if same else {}
    async with httpx2.AsyncClient(timeout=settings.timeout) as http:
        answer = await http.get(where, headers=headers)
        if answer.status_code != 200:
            raise ValueError(f"HTTP {answer.status_code}.")
        return _read_object(answer.content)


def _read_object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError("It is not JSON; convert a YAML document first.") from None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


@click.command()
@click.option(
    "--openapi",
    metavar="FILE|URL",
    help="Compare with the tenant's OpenAPI document (JSON), and print the PP_ROUTES that repair.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def doctor(openapi: str | None, as_json: bool, **options: Any) -> None:
    """Check settings, connection, token and every tool, without changing anything.

    Exit code 0: ready, or only notes. 1: something is missing. 2: the settings are wrong or PlusPlus cannot be used.
    """
    with chosen(**options, quiet=True) as (settings, tenant):
        if settings.caller_tokens and not settings.api_token.get_secret_value():
            stop("PP_CALLER_TOKENS leaves no token to look with: unset it here, set PP_TENANT and PP_API_TOKEN.")
        anyio.run(_run, settings, tenant, openapi, as_json)


async def _run(settings: Settings, tenant: Tenant | None, openapi: str | None, as_json: bool) -> None:
    comparison: Comparison | None = None
    async with make_server(settings, tenant).runtime.client as client:
        if openapi is not None:
            try:
                document = await _document(openapi, settings)
                comparison = compare(client.routes, document, urlsplit(settings.base_url).path)
            except (OSError, ValueError, RecursionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
                stop(f"--openapi: {openapi} cannot be used. {getattr(error, 'strerror', None) or error}")
        findings = await examine(client, settings, network=tenant is None)
    if comparison is not None:
        used = {name for tool in offered(settings) for name in needs(tool)}
        unused = ROUTES.keys() - used
        comparison.differences = [one for one in comparison.differences if one.operation not in unused]
    findings.comparison = comparison
    if as_json:
        click.echo(json.dumps({"exit_code": findings.exit_code, **asdict(findings)}, indent=1))
    else:
        _show(findings)
    sys.exit(findings.exit_code)


def _show(findings: Findings) -> None:
    out = console()
    for title, rows in (("check", findings.checks), ("tool", findings.tools)):
        if rows:
            out.print(table(({title: one.name, "state": one.state, "why": one.detail} for one in rows), STYLES), "")
    if findings.tools:
        out.print("That a path takes a write does not show that the token may: the first call does.")
    if (comparison := findings.comparison) is not None:
        agree = "\nThe OpenAPI document and the routes agree."
        out.print("", table(map(asdict, comparison.differences)) if comparison.differences else agree)
        if comparison.routes:
            out.print("\nTo repair what routes can repair, set:\n")
            click.echo(f"PP_ROUTES={shlex.quote(json.dumps(comparison.routes))}")
