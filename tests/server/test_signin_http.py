"""Sign-in over HTTP in memory, in both eras: who is let in, what they may do, and that nobody acts as somebody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from asgi_bridge import Bridge
from mcp import Client, MCPError
from mcp.client.auth.utils import extract_resource_metadata_from_www_auth, extract_scope_from_www_auth
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.types import ElicitResult, InputRequiredResult, PromptReference
from stage import Network, Stage, ask, connected, make_server, refused

from pp_mcp.errors import Refused
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.http import http_app
from pp_mcp.server.narrowing import SCOPE_OF
from pp_mcp.server.principal import SCOPES, included, principal
from pp_mcp.server.signin import new_token

from .test_processes import META
from .test_signin import AUDIENCE, ISSUER, Issuer, mint

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:8000"
OAUTH: dict[str, Any] = {"oauth_issuer": ISSUER, "oauth_audience": AUDIENCE}
YES = ElicitResult(action="accept", content={"confirm": True})


async def agrees(*_: Any) -> ElicitResult:
    return YES


def asking_to_drop(target: str) -> dict[str, Any]:
    """A call that the person is asked about."""
    return {"name": "drop_assignment", "arguments": {"assignment": target}, "allow_input_required": True}


modes = pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@asynccontextmanager
async def entry(stage: Stage, issuer: Issuer | None = None, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The way in over HTTP, for requests as bytes."""
    app = http_app(make_server(stage.tenant, **settings), issuer=issuer.transport if issuer else None)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http,
    ):
        yield http


@asynccontextmanager
async def signed_in(
    http: httpx2.AsyncClient, headers: dict[str, str], mode: str, hook: Any = None, **options: Any
) -> AsyncIterator[Client]:
    """A client by the same way, whose every request carries these headers; `hook` is told each one first."""
    hooks = {"request": [hook]} if hook else None
    own = httpx2.AsyncClient(transport=http._transport, base_url=URL, headers=headers, event_hooks=hooks)
    async with Client(streamable_http_client(f"{URL}/mcp", http_client=own), mode=mode, **options) as client:
        yield client


async def post(http: httpx2.AsyncClient, method: str, headers: dict[str, str], **params: Any) -> httpx2.Response:
    """A request of the newer protocol."""
    sent = {
        "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method,
        **({"Mcp-Name": params["name"]} if "name" in params else {}), **headers,
    }  # fmt: skip
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **params}}
    return await http.post("/mcp", json=body, headers=sent)


async def post_legacy(http: httpx2.AsyncClient, method: str, headers: dict[str, str], **params: Any) -> httpx2.Response:
    """A request of the older protocol, in a session that is opened for it."""
    sent = {"Accept": "application/json, text/event-stream", **headers}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    opened = await http.post(
        "/mcp", json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, headers=sent
    )
    if opened.status_code != 200:
        return opened
    sent |= {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=sent)
    return await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers=sent)


eras = pytest.mark.parametrize("send", [post, post_legacy], ids=["2026-07-28", "2025-11-25"])
METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"


# --- challenges ---------------------------------------------------------------------------------------------------


@eras
@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(mint(exp=1)), {"Authorization": f"Basic {mint()}"}])
async def test_nobody_without_a_good_token(send: Any, headers: dict[str, str], stage: Stage) -> None:
    async with entry(stage, Issuer(), **OAUTH) as http:
        for method, params in (("tools/list", {}), ("tools/call", {"name": "list_users", "arguments": {}})):
            answer = await send(http, method, headers, **params)
            assert answer.status_code == 401
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer error="invalid_token"')
            assert f'resource_metadata="{METADATA}"' in challenge
            assert challenge.endswith(', scope="pp:read pp:write pp:destroy"')
            # As a client reads it.
            assert extract_scope_from_www_auth(answer) == "pp:read pp:write pp:destroy"
            assert extract_resource_metadata_from_www_auth(answer) == METADATA
        assert (await http.get("/health")).status_code == 200
    assert not stage.tenant.requests


@pytest.mark.parametrize(("settings", "scope"), [({}, "pp:read pp:write pp:destroy"), ({"read_only": True}, "pp:read")])
async def test_a_challenge_names_what_the_server_offers(
    settings: dict[str, Any], scope: str, file: Path, stage: Stage
) -> None:
    new_token(file, "jane", SCOPES)
    async with entry(stage, http_tokens_file=str(file), **settings) as http:
        answer = await post(http, "tools/list", {})
        assert answer.headers["www-authenticate"].endswith(f', scope="{scope}"')
        # Nobody issues tokens for a file.
        assert "resource_metadata" not in answer.headers["www-authenticate"]
        assert (await http.get("/.well-known/oauth-protected-resource/mcp")).status_code == 404


async def test_the_metadata_says_where_tokens_come_from(stage: Stage) -> None:
    async with entry(stage, Issuer(), **OAUTH) as http:
        answer = await http.get("/.well-known/oauth-protected-resource/mcp")
        assert answer.json() == {
            "resource": AUDIENCE,
            "authorization_servers": [ISSUER],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "PlusPlus",
        }
    settings = {"oauth_issuer": ISSUER, "oauth_audience": "3f0c", "allowed_hosts": ("mcp.acme.example",)}
    async with entry(stage, Issuer(), **settings) as http:
        found = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert found["resource"] == "https://mcp.acme.example/mcp"
    with pytest.raises(Refused, match="PP_ALLOWED_HOSTS must name"):
        http_app(make_server(stage.tenant, oauth_issuer=ISSUER, oauth_audience="3f0c"))


TRIES = [
    ("", "list_users", 403, "pp:read"),
    ("openid", "list_users", 403, "pp:read"),
    ("pp:read", "list_users", 200, ""),
    ("pp:read", "update_user", 403, "pp:read pp:write"),
    ("pp:read", "create_group", 403, "pp:read pp:write"),
    ("pp:read", "drop_assignment", 403, "pp:read pp:write pp:destroy"),
    ("pp:write", "update_user", 200, ""),
    ("pp:write", "drop_assignment", 403, "pp:read pp:write pp:destroy"),
    ("pp:destroy", "drop_assignment", 200, ""),
    ("pp:read", "no_such_tool", 200, ""),
]


@eras
@pytest.mark.parametrize(("scope", "tool", "status", "needed"), TRIES)
async def test_a_tool_takes_its_scope(send: Any, scope: str, tool: str, status: int, needed: str, stage: Stage) -> None:
    async with entry(stage, Issuer(), **OAUTH) as http:
        answer = await send(http, "tools/call", bearer(mint(scope=scope)), name=tool, arguments={})
    assert answer.status_code == status
    if status == 403:
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="insufficient_scope"')
        assert challenge.endswith(f', resource_metadata="{METADATA}", scope="{needed}"')
        assert answer.json()["error"] == "insufficient_scope"
        assert not stage.tenant.requests


async def test_a_body_that_cannot_be_read_is_no_way_past(stage: Stage) -> None:
    async with entry(stage, Issuer(), **OAUTH) as http:
        sent = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "create_group", "arguments": {}}}
        for body in (
            b"",
            b"{",
            b"[" * 50_000,
            b"7",
            b'{"method": "tools/call"}',
            json.dumps([call]).encode(),
            b"x" * 5_000_000,
        ):
            for headers in (bearer(mint(scope="pp:read")), {}):
                answer = await http.post("/mcp", content=body, headers={**sent, **headers})
                assert 400 <= answer.status_code < 500, body[:30]
    assert not stage.tenant.requests


# --- what a scope leaves ------------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize("scope", SCOPES)
async def test_the_menu_is_what_the_scope_leaves(scope: str, mode: str, stage: Stage) -> None:
    async with (
        entry(stage, Issuer(), **OAUTH) as http,
        signed_in(http, bearer(mint(scope=scope)), mode) as client,
    ):
        listed = await client.list_tools()
        left = {name for name, tool in BY_NAME.items() if SCOPE_OF[tool.effect] in included([scope])}
        assert {tool.name for tool in listed.tools} == left
        assert (listed.cache_scope, listed.ttl_ms) == ("private", 0)
        assert (await ask(client, "list_users"))["total_count"] == 60


@contextmanager
def acting(**access: Any) -> Iterator[None]:
    """Whoever calls in memory has signed in like this."""
    whole = {"token": "t", "client_id": "app", "subject": "jane", "scopes": [], **access}
    mark = auth_context_var.set(AuthenticatedUser(AccessToken(**whole)))
    yield
    auth_context_var.reset(mark)


@modes
async def test_what_slips_past_http_is_refused_by_the_tool(mode: str, stage: Stage) -> None:
    async with connected(stage.tenant, client={"mode": mode}) as client:
        with acting(scopes=["pp:read"]):
            error = await refused(client, "update_user", user=stage.person(), name="Renamed")
            assert "takes the scope pp:write" in error["message"]
            assert (await ask(client, "list_users"))["total_count"] == 60
    assert stage.writes() == []


@pytest.mark.parametrize("scopes", [[], ["pp:read"]])
async def test_completion_and_resources_take_a_scope_too(scopes: list[str], stage: Stage) -> None:
    ref = PromptReference(type="ref/prompt", name="learner_review")
    async with connected(stage.tenant) as client:
        with acting(scopes=scopes):
            found = await client.complete(ref=ref, argument={"name": "user", "value": ""})
            assert bool(found.completion.values) is bool(scopes)
            listed = [str(one.uri) for one in (await client.list_resources()).resources]
            assert any(uri.startswith("plusplus:") for uri in listed) is bool(scopes), (
                "views hold nothing of the tenant"
            )
            if not scopes:
                with pytest.raises(MCPError, match="takes the scope pp:read"):
                    await client.read_resource(f"plusplus://users/{stage.person()}")


# --- one person is not another ------------------------------------------------------------------------------------


@modes
async def test_a_confirmation_is_good_for_whoever_asked(mode: str, stage: Stage) -> None:
    target = stage.assignment("not_started")
    jane, again, sam = (
        mint(scope="pp:destroy", sub=sub, jti=jti) for sub, jti in (("jane", "1"), ("jane", "2"), ("sam", "3"))
    )
    async with entry(stage, Issuer(), **OAUTH) as http:
        async with signed_in(http, bearer(jane), mode) as client:
            preview = await ask(client, "drop_assignment", assignment=target)
        async with signed_in(http, bearer(sam), mode) as client:
            answer = await ask(client, "drop_assignment", assignment=target, confirm_token=preview["confirm_token"])
            assert answer["status"] == "confirmation_required"
            assert stage.writes() == []
        async with signed_in(http, bearer(again), mode) as client:
            answer = await ask(client, "drop_assignment", assignment=target, confirm_token=preview["confirm_token"])
            assert answer["status"] == "done"


async def test_a_question_is_answered_by_whoever_was_asked(file: Path, stage: Stage) -> None:
    target = stage.assignment("not_started")
    jane, sam = new_token(file, "jane", SCOPES), new_token(file, "sam", SCOPES)

    call = asking_to_drop(target)
    async with entry(stage, http_tokens_file=str(file), confirm="elicit") as http:
        options = {"elicitation_callback": agrees}
        async with signed_in(http, bearer(jane), "2026-07-28", **options) as client:
            asked = await client.session.call_tool(**call)
            assert isinstance(asked, InputRequiredResult)
        call |= {"request_state": asked.request_state, "input_responses": {"confirm": YES}}
        async with signed_in(http, bearer(sam), "2026-07-28", **options) as client:
            with pytest.raises(MCPError, match="requestState"):
                await client.session.call_tool(**call)
        assert stage.state(target) == "not_started"
        async with signed_in(http, bearer(jane), "2026-07-28", **options) as client:
            await client.session.call_tool(**call)
    assert stage.state(target) == "dropped"


OLD, NEW = "o" * 40, "n" * 40


@pytest.mark.parametrize(("keys", "good"), [(f"{NEW},{OLD}", True), (f"{OLD},{NEW}", True), (NEW, False)])
async def test_a_question_outlives_a_change_of_the_key(keys: str, good: bool, stage: Stage) -> None:
    target = stage.assignment("not_started")
    call = asking_to_drop(target)

    options = {"confirm": "elicit", "client": {"elicitation_callback": agrees}}
    async with connected(stage.tenant, key=OLD, **options) as client:
        asked = await client.session.call_tool(**call)
        assert isinstance(asked, InputRequiredResult)
    call |= {"request_state": asked.request_state, "input_responses": {"confirm": YES}}
    async with connected(stage.tenant, key=keys, **options) as client:
        with nullcontext() if good else pytest.raises(MCPError, match="requestState"):
            await client.session.call_tool(**call)
    assert stage.state(target) == ("dropped" if good else "not_started")


async def test_a_session_is_its_openers(file: Path, stage: Stage) -> None:
    jane, sam = new_token(file, "jane", SCOPES), new_token(file, "sam", SCOPES)
    async with entry(stage, http_tokens_file=str(file)) as http:
        opened = await post_legacy(http, "tools/list", bearer(jane))
        session = {"Mcp-Session-Id": opened.request.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
        accept = {"Accept": "application/json, text/event-stream"}
        assert (await http.post("/mcp", json=body, headers={**accept, **session, **bearer(sam)})).status_code == 404
        assert (await http.post("/mcp", json=body, headers={**accept, **session, **bearer(jane)})).status_code == 200


@modes
async def test_brake_and_pace_are_each_persons_own(mode: str, file: Path, stage: Stage) -> None:
    jane, sam = new_token(file, "jane", SCOPES), new_token(file, "sam", SCOPES)
    limits = {"unconfirmed_writes": 1, "max_writes_per_hour": 2}
    async with entry(stage, http_tokens_file=str(file), **limits) as http:
        for token in (jane, sam):
            async with signed_in(http, bearer(token), mode) as client:
                for number, status in enumerate(("done", "confirmation_required")):
                    name = f"{token[:9]} {number}"
                    preview = await ask(client, "update_user", user=stage.person(), name=name)
                    assert preview["status"] == status
                confirmed = {"user": stage.person(), "name": name, "confirm_token": preview["confirm_token"]}
                assert (await ask(client, "update_user", **confirmed))["status"] == "done"
                preview = await ask(client, "update_user", user=stage.person(), name="One more")
                error = await refused(
                    client, "update_user", user=stage.person(), name="One more", confirm_token=preview["confirm_token"]
                )
                assert "PP_MAX_WRITES_PER_HOUR" in error["message"]


def test_the_same_name_by_another_way_is_another_person() -> None:
    found = {principal()}
    for access in (
        {"client_id": "jane"},
        {"client_id": "jane", "claims": {"iss": ISSUER}},
        {"client_id": "app", "claims": {"iss": ISSUER}},
        {"client_id": "jane", "subject": "sam"},
    ):
        with acting(**access):
            found.add(principal())
    assert len(found) == 5


@modes
async def test_the_audit_log_says_who(mode: str, file: Path, tmp_path: Path, stage: Stage) -> None:
    jane, log = new_token(file, "jane", SCOPES), tmp_path / "audit"
    settings = {**OAUTH, "http_tokens_file": str(file), "audit_log": str(log)}
    async with entry(stage, Issuer(), **settings) as http:
        for token in (jane, mint(scope="pp:write", sub="00u1")):
            async with signed_in(http, bearer(token), mode) as client:
                await ask(client, "update_user", user=stage.person(), name=f"By {token[-4:]}")
    text = log.read_text(encoding="utf-8")
    callers = [json.loads(line)["caller"] for line in text.splitlines()]
    assert [(one["principal"], one.get("issuer")) for one in callers] == [("jane", None)] * 2 + [("00u1", ISSUER)] * 2
    assert jane not in text


@modes
async def test_the_bearer_token_goes_no_further(mode: str, file: Path, stage: Stage) -> None:
    network, sent = Network(stage.tenant), list[str]()
    network.before = lambda request, _number: sent.append(str(request.headers))
    jane = new_token(file, "jane", SCOPES)
    async with (
        entry(stage, http_tokens_file=str(file), transport=network) as http,
        signed_in(http, bearer(jane), mode) as client,
    ):
        await ask(client, "list_users")
    assert sent
    assert not any(jane in headers for headers in sent)


async def test_a_revoked_token_is_out_at_once(file: Path, stage: Stage) -> None:
    jane = new_token(file, "jane", SCOPES)
    new_token(file, "sam", SCOPES)
    async with entry(stage, http_tokens_file=str(file)) as http:
        assert (await post(http, "tools/list", bearer(jane))).status_code == 200
        file.write_text(file.read_text(encoding="utf-8").splitlines()[1] + "\n", encoding="utf-8")
        assert (await post(http, "tools/list", bearer(jane))).status_code == 401


# --- from where ---------------------------------------------------------------------------------------------------

HERE, ELSEWHERE = "https://app.example.com", "https://evil.example.com"


async def test_pages_of_allowed_origins_may_call(file: Path, stage: Stage) -> None:
    jane = new_token(file, "jane", SCOPES)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,mcp-method"}
    async with entry(stage, http_tokens_file=str(file), allowed_origins=(HERE,)) as http:
        before = await http.options("/mcp", headers={"Origin": HERE, **asked})
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == HERE
        assert "authorization" in before.headers["access-control-allow-headers"]
        answer = await post(http, "tools/list", {**bearer(jane), "Origin": HERE})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == HERE
        assert "Mcp-Session-Id" in answer.headers["access-control-expose-headers"]
        # A page has to be able to read the challenge, too.
        answer = await post(http, "tools/list", {"Origin": HERE})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == HERE
        before = await http.options("/mcp", headers={"Origin": ELSEWHERE, **asked})
        assert before.status_code == 400
        assert "access-control-allow-origin" not in before.headers
        answer = await post(http, "tools/list", {**bearer(jane), "Origin": ELSEWHERE})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_without_allowed_origins_no_page_is_answered(file: Path, stage: Stage) -> None:
    new_token(file, "jane", SCOPES)
    async with entry(stage, Issuer(), http_tokens_file=str(file), **OAUTH) as http:
        for path in ("/mcp", "/.well-known/oauth-protected-resource/mcp", "/health"):
            answer = await http.get(path, headers={"Origin": HERE})
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["PP_HTTP_TOKENS_FILE", "PP_OAUTH_ISSUER", "PP_CALLER_TOKENS", "PP_ALLOWED_HOSTS"]),
        ({"allowed_hosts": ("mcp.example.com",)}, ["PP_HTTP_TOKENS_FILE"]),
        (OAUTH, ["PP_ALLOWED_HOSTS"]),
    ],
)
def test_it_does_not_open_itself_to_others_by_mistake(settings: dict[str, Any], words: list[str], stage: Stage) -> None:
    for host in ("0.0.0.0", "::", "10.1.2.3", "mcp.example.com"):
        with pytest.raises(Refused, match=f"--host {host} ") as caught:
            http_app(make_server(stage.tenant, **settings), host)
        named = ["PP_HTTP_TOKENS_FILE", "PP_OAUTH_ISSUER", "PP_CALLER_TOKENS", "PP_ALLOWED_HOSTS"]
        assert [name for name in named if name in caught.value.message] == [
            name for name in named if name in words or ("PP_HTTP_TOKENS_FILE" in words and name != "PP_ALLOWED_HOSTS")
        ]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mcp.example.com", 200),
        ("mcp.example.com:8443", 200),
        ("127.0.0.1:8000", 200),
        ("[2001:db8::1]:8000", 200),
        ("evil.example.com", 421),
        ("mcp.example.com.evil.example", 421),
        ("0.0.0.0:8000", 421),
    ],
)
async def test_open_to_others_by_its_names_only(host: str, status: int, file: Path, stage: Stage) -> None:
    jane = new_token(file, "jane", SCOPES)
    settings = {"http_tokens_file": str(file), "allowed_hosts": ("mcp.example.com", "[2001:db8::1]")}
    app = http_app(make_server(stage.tenant, **settings), "0.0.0.0")
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=Bridge(app), base_url=URL) as http:
        answer = await post(http, "tools/list", {**bearer(jane), "Host": host})
    assert answer.status_code == status


def test_a_file_of_tokens_that_cannot_be_read_is_said_at_the_start(file: Path, stage: Stage) -> None:
    with pytest.raises(Refused, match=r"PP_HTTP_TOKENS_FILE: .* cannot be read"):
        http_app(make_server(stage.tenant, http_tokens_file=str(file)))
