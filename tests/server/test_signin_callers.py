"""PP_CALLER_TOKENS: each request acts with the API token it brings, on every way, and nothing of it reaches another."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.types import InputRequiredResult, PromptReference
from pydantic import SecretStr
from stage import Network, Stage, ask, make_server, refused

from pp_mcp.api import Client as ApiClient
from pp_mcp.config import SettingsError, load
from pp_mcp.errors import Refused
from pp_mcp.server.clients import CallerClients, CallerTokens
from pp_mcp.server.http import http_app
from pp_mcp.server.principal import SCOPES, Brought, brought
from pp_mcp.server.signin import new_token
from pp_mcp.server.stdio import serve_stdio

from .test_signin_http import YES, agrees, asking_to_drop, bearer, entry, modes, post, signed_in

pytestmark = pytest.mark.anyio

JANE, SAM = "pp_janes_token_0123456789", "pp_sams_token_0123456789"
OWN: dict[str, Any] = {"caller_tokens": True, "api_token": SecretStr("")}


@pytest.fixture(autouse=True)
def _tokens(stage: Stage) -> None:
    """Jane is an admin, Sam is not."""
    for public_id, token, role in (("1", JANE, "admin"), ("2", SAM, "user")):
        stage.change(
            "INSERT INTO tokens (public_id, name, token_hash, role, created) VALUES (?, ?, ?, ?, '2026-01-01')",
            public_id, token, hashlib.sha256(token.encode()).hexdigest(), role,
        )  # fmt: skip


def with_token(token: str, **more: str) -> dict[str, str]:
    return {"X-PP-Token": token, **more}


@asynccontextmanager
async def as_callers(stage: Stage, mode: str, *tokens: str, **settings: Any) -> AsyncIterator[list[Client]]:
    """A client for each of these tokens, of one server."""
    async with entry(stage, **OWN, **settings) as http:
        if len(tokens) == 1:
            async with signed_in(http, with_token(tokens[0]), mode) as one:
                yield [one]
        else:
            async with (
                signed_in(http, with_token(tokens[0]), mode) as one,
                signed_in(http, with_token(tokens[1]), mode) as other,
            ):
                yield [one, other]


@modes
async def test_without_a_token_there_are_lists_and_no_answers(mode: str, stage: Stage) -> None:
    async with entry(stage, **OWN) as http, signed_in(http, {}, mode) as client:
        assert len((await client.list_tools()).tools) > 30
        assert (await client.list_resources()).resources
        assert (await client.list_prompts()).prompts
        for tool in ("list_users", "create_group"):
            error = await refused(client, tool)
            assert "X-PP-Token" in error["message"]
        with pytest.raises(MCPError, match="X-PP-Token"):
            await client.read_resource(f"plusplus://users/{stage.person()}")
        ref = PromptReference(type="ref/prompt", name="learner_review")
        found = await client.complete(ref=ref, argument={"name": "user", "value": ""})
        assert found.completion.values == []
    assert not stage.tenant.requests


@modes
async def test_each_acts_with_their_own_rights(mode: str, stage: Stage) -> None:
    async with as_callers(stage, mode, JANE, SAM) as (jane, sam):
        for client in (jane, sam):
            assert (await ask(client, "list_groups"))["total_count"]
        error = await refused(sam, "create_group", name="Sam's")
        assert error["code"] in ("forbidden", "not_allowed"), error
        assert (await ask(jane, "create_group", name="Jane's"))["status"] == "done"
    assert stage.column("SELECT name FROM groups WHERE name IN ('Sam''s', 'Jane''s')") == ["Jane's"]


@modes
async def test_two_requests_of_one_connection_are_two_callers(mode: str, stage: Stage) -> None:
    """A session of 2025 belongs to nobody here: what counts is what each request brings."""
    network, sent = Network(stage.tenant), list[str]()
    network.before = lambda request, _number: sent.append(request.headers["authorization"])
    tokens = iter([JANE, SAM, JANE])

    async with entry(stage, **OWN, transport=network) as http:

        async def bring(request: httpx2.Request) -> None:
            if b"tools/call" in request.content:
                request.headers["x-pp-token"] = next(tokens)

        async with signed_in(http, {}, mode, hook=bring) as client:
            for _ in range(3):
                await ask(client, "list_users")
    assert sent == [f"Bearer {one}" for one in (JANE, SAM, JANE)]


@modes
async def test_a_confirmation_is_good_for_the_token_that_asked(mode: str, stage: Stage) -> None:
    target = stage.assignment("not_started")
    async with as_callers(stage, mode, JANE, stage.tenant.token) as (jane, other):
        preview = await ask(jane, "drop_assignment", assignment=target)
        again = await ask(other, "drop_assignment", assignment=target, confirm_token=preview["confirm_token"])
        assert again["status"] == "confirmation_required"
        assert stage.writes() == []
        done = await ask(jane, "drop_assignment", assignment=target, confirm_token=preview["confirm_token"])
        assert done["status"] == "done"


async def test_a_question_is_answered_with_the_token_that_asked(stage: Stage) -> None:
    target = stage.assignment("not_started")
    call = asking_to_drop(target)

    options = {"elicitation_callback": agrees}
    async with entry(stage, **OWN, confirm="elicit") as http:
        async with signed_in(http, with_token(JANE), "2026-07-28", **options) as client:
            asked = await client.session.call_tool(**call)
            assert isinstance(asked, InputRequiredResult)
        call |= {"request_state": asked.request_state, "input_responses": {"confirm": YES}}
        for headers in (with_token(stage.tenant.token), {}):
            async with signed_in(http, headers, "2026-07-28", **options) as client:
                with pytest.raises(MCPError, match="requestState"):
                    await client.session.call_tool(**call)
        assert stage.state(target) == "not_started"
        async with signed_in(http, with_token(JANE), "2026-07-28", **options) as client:
            await client.session.call_tool(**call)
    assert stage.state(target) == "dropped"


@modes
async def test_what_was_read_with_one_token_is_not_kept_for_another(mode: str, stage: Stage) -> None:
    network, asked = Network(stage.tenant), list[tuple[str, str]]()
    network.before = lambda request, _: asked.append(
        (request.headers["authorization"][-len(SAM) :], request.headers.get("if-none-match", ""))
    )
    target = stage.assignment("completed")
    async with as_callers(stage, mode, JANE, stage.tenant.token, transport=network) as (jane, other):
        for client in (jane, jane, other):
            await ask(client, "get_assignment", assignment=target)
    (_, first), (_, second), (_, third) = asked
    assert not first
    assert second
    assert not third


@modes
async def test_a_rate_limit_holds_its_own_token(mode: str, stage: Stage) -> None:
    network = Network(stage.tenant)

    def limit(request: httpx2.Request, _number: int) -> httpx2.Response | None:
        if request.headers["authorization"] == f"Bearer {JANE}":
            return httpx2.Response(429, headers={"Retry-After": "600"}, json={})
        return None

    network.before = limit
    async with as_callers(stage, mode, JANE, SAM, transport=network) as (jane, sam):
        assert (await refused(jane, "list_users"))["code"] == "rate_limited"
        assert (await ask(sam, "list_groups"))["total_count"]


# --- tenants ------------------------------------------------------------------------------------------------------


@modes
@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("", "acme.test"),
        ("beta", "beta.plusplus.app"),
        ("BETA", "beta.plusplus.app"),
        ("gamma", ""),
        ("beta.evil", ""),
        ("beta, beta", ""),
    ],
)
async def test_the_tenant_of_a_request(name: str, host: str, mode: str, stage: Stage) -> None:
    network, hosts = Network(stage.tenant), list[str]()
    network.before = lambda request, _number: hosts.append(request.url.host)
    settings = {**OWN, "allowed_tenants": frozenset({"beta"}), "base_url": "https://acme.test/public_api/v2"}
    headers = with_token(JANE, **({"X-PP-Tenant": name} if name else {}))
    async with entry(stage, transport=network, **settings) as http, signed_in(http, headers, mode) as client:
        if host:
            await ask(client, "list_users")
        else:
            assert "X-PP-Tenant" in (await refused(client, "list_users"))["message"]
    assert hosts == [host] * bool(host)


@modes
async def test_a_confirmation_is_good_for_its_tenant(mode: str, stage: Stage, tmp_path: Path) -> None:
    target, log = stage.assignment("not_started"), tmp_path / "audit"
    settings = {**OWN, "allowed_tenants": frozenset({"beta"}), "audit_log": str(log)}
    async with entry(stage, **settings) as http:
        async with signed_in(http, with_token(JANE), mode) as client:
            preview = await ask(client, "drop_assignment", assignment=target)
        async with signed_in(http, with_token(JANE, **{"X-PP-Tenant": "beta"}), mode) as client:
            given = {"assignment": target, "confirm_token": preview["confirm_token"]}
            assert (await ask(client, "drop_assignment", **given))["status"] == "confirmation_required"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["tenant"] for line in lines] == [stage.tenant.base_url, "https://beta.plusplus.app/public_api/v2"]
    digests = {line["caller"]["token"] for line in lines}
    assert len(digests) == 2
    assert all(one.startswith("sha256:") and JANE not in one for one in digests)


# --- the token shows nowhere --------------------------------------------------------------------------------------


@modes
async def test_the_token_shows_nowhere(
    mode: str, stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    network, log = Network(stage.tenant), tmp_path / "audit"
    settings = {"audit_log": str(log), "audit_reads": True, "transport": network}
    person = stage.person()
    stage.change("UPDATE users SET employee_id = ? WHERE email = ?", f"x{JANE}y", person)
    public_id = stage.one("SELECT public_id FROM users WHERE email = ?", person)
    texts: list[str] = []
    async with as_callers(stage, mode, JANE, **settings) as (jane,):
        texts.append((await jane.call_tool("get_user", {"user": person})).model_dump_json())
        texts.append((await jane.call_tool("get_user", {"user": f"no {JANE}"})).model_dump_json())
        texts.append((await jane.call_tool("update_user", {"user": person, "name": "Renamed"})).model_dump_json())
        texts.append((await jane.read_resource(f"plusplus://users/{public_id}")).model_dump_json())

        def fails(_: httpx2.Request, __: int) -> None:
            raise RuntimeError(f"no luck with {JANE}")

        network.before = fails
        texts.append((await jane.call_tool("list_users", {})).model_dump_json())
    ours = [f"{one.getMessage()} {one.exc_text}" for one in caplog.records if one.name.startswith("pp_mcp")]
    assert any("no luck with [API token]" in one for one in ours)
    assert public_id in texts[0]
    for text in (*texts, *ours, log.read_text(encoding="utf-8")):
        assert JANE not in text


async def test_what_stands_behind_never_sees_the_header(stage: Stage) -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.extend([scope["headers"], brought.get()])

    headers = [(b"x-pp-token", JANE.encode()), (b"accept", b"*/*"), (b"X-PP-Tenant", b"acme")]
    scope = {"type": "http", "headers": headers}
    await CallerTokens(app, make_server(stage.tenant, **OWN).settings_used)(scope, None, None)  # type: ignore[arg-type]
    assert seen[0] == [(b"accept", b"*/*")]
    assert seen[1].token.get_secret_value() == JANE
    assert JANE not in repr(seen[1])
    assert brought.get() is None


async def test_an_api_token_that_is_not_accepted(stage: Stage) -> None:
    async with as_callers(stage, "2026-07-28", "pp_revoked_0123456789") as (client,):
        error = await refused(client, "list_users")
    assert "Check the header X-PP-Token" in error["message"]
    assert "pp_revoked" not in str(error)


@pytest.mark.parametrize(
    "token", ["Bearer " + JANE, JANE + '"', "pp_a!", f"{JANE}, {SAM}", f"{JANE}\\", "pp_" + "x" * 20_000]
)
async def test_a_header_that_holds_no_token(token: str, stage: Stage) -> None:
    async with entry(stage, **OWN) as http:
        answer = await post(http, "tools/call", with_token(token), name="list_users", arguments={})
        assert "X-PP-Token holds is no API token" in answer.text
        assert JANE not in answer.text
    assert not stage.tenant.requests


async def test_a_header_given_twice_holds_no_token(stage: Stage) -> None:
    async with entry(stage, **OWN) as http:

        async def twice(request: httpx2.Request) -> None:
            request.headers = httpx2.Headers([*request.headers.multi_items(), ("X-PP-Token", SAM)])

        async with signed_in(http, with_token(JANE), "legacy", hook=twice) as client:
            assert "X-PP-Token holds is no API token" in (await refused(client, "list_users"))["message"]
    assert not stage.tenant.requests


# --- together with signing in, and without HTTP -------------------------------------------------------------------


@modes
async def test_both_a_bearer_token_and_ones_own(mode: str, stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    door = new_token(file, "jane", SCOPES[:1])
    async with entry(stage, **OWN, http_tokens_file=str(file)) as http:
        assert (await post(http, "tools/list", with_token(JANE))).status_code == 401
        async with signed_in(http, {**bearer(door), **with_token(JANE)}, mode) as client:
            assert (await ask(client, "list_users"))["total_count"] == 60
            assert "create_group" not in {tool.name for tool in (await client.list_tools()).tools}


def test_on_stdio_nobody_can_bring_one(stage: Stage) -> None:
    with pytest.raises(Refused, match="needs --transport http"):
        serve_stdio(make_server(stage.tenant, **OWN))


def test_it_is_a_way_to_sign_in(stage: Stage) -> None:
    http_app(make_server(stage.tenant, **OWN, allowed_hosts=("mcp.example.com",)), "0.0.0.0")
    with pytest.raises(Refused, match="PP_ALLOWED_HOSTS"):
        http_app(make_server(stage.tenant, **OWN), "0.0.0.0")


def test_the_settings_it_needs() -> None:
    settings = load(environ={"PP_CALLER_TOKENS": "true", "PP_ALLOWED_TENANTS": "acme,beta"})
    assert settings.allowed_tenants == {"acme", "beta"}
    assert settings.base_url == ""
    assert "this process only" in settings.warnings[0]
    # Without a token there is nothing to derive a key from: each process has one of its own.
    assert settings.signing_keys == settings.signing_keys
    assert settings.signing_keys != load(environ={"PP_CALLER_TOKENS": "1", "PP_TENANT": "acme"}).signing_keys
    with pytest.raises(SettingsError, match="PP_TENANT is not set"):
        load(environ={"PP_CALLER_TOKENS": "true"})
    with pytest.raises(SettingsError, match="PP_API_TOKEN is not set"):
        load(environ={"PP_CALLER_TOKENS": "false", "PP_TENANT": "acme"})


async def test_clients_of_many_callers_are_not_kept_for_ever() -> None:
    made: list[ApiClient] = []

    def make(base_url: str, token: SecretStr) -> ApiClient:
        made.append(ApiClient(base_url=base_url, token=token))
        return made[-1]

    clients = CallerClients(make)
    calls = []
    for number in range(6):
        mark = brought.set(Brought(SecretStr(f"pp_{number}"), "https://acme.test/v2"))
        for _ in range(2):
            client = clients.client()
        if number == 1:
            calls.append(client.call())
        brought.reset(mark)
    assert len(made) == 6
    await clients.trim(2)
    closed = [one._sender.http.is_closed for one in made]
    assert closed == [True, False, True, True, True, False]
    calls.clear()
    await clients.trim(0)
    assert all(one._sender.http.is_closed for one in made)
    with pytest.raises(Refused, match="X-PP-Token"):
        clients.client()
