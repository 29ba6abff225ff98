"""What stands before the MCP endpoint on HTTP: who may call, from where, and what they may do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, cast

import httpx2
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.server.transport_security import (
    DEFAULT_MAX_REQUEST_BODY_SIZE,
    RequestBodyLimitMiddleware,
    TransportSecuritySettings,
)
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pp_mcp.config import Settings
from pp_mcp.errors import Refused
from pp_mcp.menu import menu
from pp_mcp.server.clients import CallerTokens
from pp_mcp.server.narrowing import SCOPE_OF
from pp_mcp.server.principal import SCOPES, included
from pp_mcp.server.signin import verifier_of
from pp_mcp.values import is_this_computer

PATH = "/mcp"


def check_bind(host: str, settings: Settings) -> None:
    """Raises Refused if the server would be open to other computers without what that needs."""
    missing: list[str] = []
    if not (settings.http_tokens_file or settings.oauth_issuer or settings.caller_tokens):
        missing.append(
            "a way to sign in: PP_HTTP_TOKENS_FILE, PP_OAUTH_ISSUER with PP_OAUTH_AUDIENCE, or PP_CALLER_TOKENS=true"
        )
    if not settings.allowed_hosts:
        missing.append("PP_ALLOWED_HOSTS, the names by which clients reach it, such as mcp.example.com")
    if missing and not is_this_computer(host):
        raise Refused(
            f"--host {host} would open the server to other computers. For that it needs {'; and '.join(missing)}. Or "
            "bind to 127.0.0.1."
        )


def security(host: str, settings: Settings) -> TransportSecuritySettings:
    """Requests must name this computer or an allowed host as their Host, and likewise as their Origin if they have one:
    a page elsewhere could otherwise reach the server through the reader's browser (DNS rebinding)."""
    names = {"127.0.0.1", "localhost", "[::1]"}
    if is_this_computer(host):
        names.add(in_url(host))
        with contextlib.suppress(ValueError):
            names.add(in_url(ip_address(host).compressed))
    local = [f"{name}{port}" for name in sorted(names) for port in ("", ":*")]
    return TransportSecuritySettings(
        allowed_hosts=[*local, *(f"{name}{port}" for name in settings.allowed_hosts for port in ("", ":*"))],
        allowed_origins=[*(f"http://{name}" for name in local), *settings.allowed_origins],
    )


def in_url(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def protect(
    app: Starlette, settings: Settings, tools: frozenset[str], issuer: httpx2.AsyncBaseTransport | None = None
) -> None:
    """Puts the sign-in of these settings before the endpoint. `issuer` replaces the network to the OAuth issuer.

    Raises:
        Refused: the sign-in cannot work.
    """
    route = next(one for one in app.routes if isinstance(one, Route) and one.path == PATH)
    endpoint: ASGIApp = route.app
    if settings.caller_tokens:
        endpoint = CallerTokens(endpoint, settings)
    if verifier := verifier_of(settings, issuer):
        offered = included(SCOPE_OF[menu()[name].effect] for name in tools)
        metadata_url = _serve_metadata(app, settings, offered) if settings.oauth_issuer else None
        endpoint = AuthContextMiddleware(Scoped(endpoint, offered, metadata_url))
        endpoint = AuthenticationMiddleware(endpoint, backend=BearerAuthBackend(verifier))
    route.app = endpoint
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Mcp-Session-Id", "WWW-Authenticate"],
        )


def _serve_metadata(app: Starlette, settings: Settings, scopes: Sequence[str]) -> AnyHttpUrl:
    """Serves the protected resource metadata (RFC 9728) and answers its address."""
    resource = settings.oauth_audience
    if not resource.startswith(("https://", "http://")):
        # Some issuers put an id of their own into `aud`; what clients know the server by is its address.
        if not settings.allowed_hosts:
            raise Refused("PP_OAUTH_AUDIENCE is not this server's URL, so PP_ALLOWED_HOSTS must name its public host.")
        resource = f"https://{settings.allowed_hosts[0]}{PATH}"
    metadata = {
        "resource": resource,
        "authorization_servers": [settings.oauth_issuer],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": "PlusPlus",
    }

    async def answer(_: Request) -> Response:
        return JSONResponse(metadata, headers={"Cache-Control": "public, max-age=3600"})

    url = build_resource_metadata_url(AnyHttpUrl(resource))
    app.routes.append(Route(url.path or "", answer, methods=["GET"]))
    return url


class Scoped:
    """Lets those in whose token has the scope that a request takes. Others are told which one: a challenge (RFC 6750)
    names the scopes, which the SDK leaves out."""

    def __init__(self, app: ASGIApp, offered: Sequence[str], metadata_url: AnyHttpUrl | None) -> None:
        self._app, self._offered, self._metadata_url = app, offered, metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user")
        if isinstance(user, AuthenticatedUser) and SCOPES[-1] not in user.scopes:
            await RequestBodyLimitMiddleware(self._look, DEFAULT_MAX_REQUEST_BODY_SIZE)(scope, receive, send)
        else:
            await self._require(SCOPES[0], scope, receive, send)

    async def _look(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()  # the limit on the body has read the whole of it
        await self._require(_needed(message.get("body", b"")), scope, _again(message, receive), send)

    async def _require(self, needed: str, scope: Scope, receive: Receive, send: Send) -> None:
        scopes = included([needed])

        async def challenge(message: Message) -> None:
            if message.get("status") in (401, 403):
                named = f', scope="{" ".join(scopes if message["status"] == 403 else self._offered)}"'.encode()
                headers = [(name, value + named * (name == b"www-authenticate")) for name, value in message["headers"]]
                message = {**message, "headers": headers}
            await send(message)

        await RequireAuthMiddleware(self._app, scopes, self._metadata_url)(scope, receive, challenge)


def _again(message: Message, receive: Receive) -> Receive:
    """A `receive` that gives this message first."""
    messages = [message]

    async def receiving() -> Message:
        return messages.pop() if messages else await receive()

    return receiving


def _needed(body: bytes) -> str:
    """The scope that a request takes. What cannot be read is for the SDK to refuse."""
    with contextlib.suppress(ValueError, RecursionError, AttributeError, KeyError, TypeError):
        request = cast("dict[str, Any]", json.loads(body))
        if request["method"] == "tools/call":
            return SCOPE_OF[menu()[request["params"]["name"]].effect]
    return SCOPES[0]
