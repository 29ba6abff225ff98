"""Putting the server together."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import anyio
import httpx2
from mcp.server import CacheHint, MCPServer
from mcp.server.apps import EXTENSION_ID
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, UnexpectedResourceError
from mcp.server.request_state import RequestStateSecurity
from mcp.shared._context_streams import ContextSendStream, create_context_streams
from mcp.shared._stream_protocols import ReadStream
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    Icon,
    InputRequiredResult,
    JSONRPCRequest,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Resource,
    ResourceTemplate,
)
from pydantic import AnyUrl, SecretStr

from pp_mcp import __version__
from pp_mcp.answers import ErrorAnswer
from pp_mcp.api import Client
from pp_mcp.api.limits import SYSTEM_CLOCK, Clock
from pp_mcp.api.routes import ROUTES, Route
from pp_mcp.audit import AuditLog
from pp_mcp.config import Settings
from pp_mcp.declare import Effect
from pp_mcp.errors import Refused
from pp_mcp.inventory import BY_NAME, enabled
from pp_mcp.server.asking import identity
from pp_mcp.server.call import ServedTool
from pp_mcp.server.clients import CallerClients
from pp_mcp.server.confirm import Confirmer
from pp_mcp.server.instructions import INSTRUCTIONS
from pp_mcp.server.narrowing import Narrowing, narrowing_of
from pp_mcp.server.perform import Brake, Pace, Runtime
from pp_mcp.server.principal import principal, tenant_in_use
from pp_mcp.server.prompts import add_prompts
from pp_mcp.server.reads import Reader
from pp_mcp.server.redact import Redactor, redact_logs
from pp_mcp.server.render import rendered_error
from pp_mcp.server.resources import TOOL_OF, Resources, is_person, suggest
from pp_mcp.views import apps

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='7' fill='%232b50c8'/%3E"
    "%3Cpath d='M11 8v12M5 14h12M22 15v10M17 20h10' stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E"
).replace(" ", "%20")
"""Two plus signs on blue."""

_VIEWS = "ui://"

_HOUR = CacheHint(ttl_ms=3_600_000, scope="public")


class PlusPlusServer(MCPServer[Any]):
    """The MCP server; says why where a tool that exists is not served."""

    settings_used: Settings
    runtime: Runtime
    redactor: Redactor
    resources: Resources
    names: frozenset[str]
    """The tools that are served."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Calls a tool; one that these settings switch off is refused with the setting that does."""
        if self._tool_manager.get_tool(name) is None and name in BY_NAME:
            return rendered_error(
                ErrorAnswer(code="refused", message=f"{why_off(name, self.settings_used)} Nothing was sent.")
            )
        if why_not := await self._why_not():
            return rendered_error(ErrorAnswer(code="not_set_up", message=f"{why_not} Nothing was sent."))
        return self.redactor.result(await super().call_tool(name, arguments, context))

    async def _why_not(self) -> str | None:
        """Why the request that is being answered cannot reach PlusPlus; None where it can."""
        callers = self.runtime.callers
        if callers is None:
            return not_set_up(self.settings_used)
        await callers.trim()
        return callers.why_not()

    async def list_resources(self) -> list[Resource]:
        """Lists the resources of the tools that are served, and the views."""
        return [*self.resources.listed(), *await super().list_resources()]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Lists the templates of the tools that are served."""
        return self.resources.templates()

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        """Reads a resource. The SDK's templates would pass over arguments that they do not know."""
        if str(uri).startswith(_VIEWS):
            return cast("Iterable[ReadResourceContents]", await super().read_resource(uri, context))
        if why_not := await self._why_not():
            raise ResourceError(why_not)
        try:
            found = await self.resources.read(str(uri), context or Context(mcp_server=self))
            return [replace(found, content=self.redactor.text(str(found.content)))]
        except (MCPError, ResourceError):
            raise
        except Exception as error:
            raise UnexpectedResourceError("The resource could not be read; the server's log says why.") from error

    async def _handle_list_tools(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """Lists the tools that the request's headers leave; the SDK offers no public place for what a request asks."""
        listed = await super()._handle_list_tools(ctx, params)
        narrowing = _asked(ctx)
        if narrowing.is_none:
            return listed
        left = [tool for tool in listed.tools if narrowing.why_not(BY_NAME[tool.name]) is None]
        # What one request was narrowed to is no answer for another that a shared cache might give it to.
        return ListToolsResult(tools=left, ttl_ms=0, cache_scope="private")

    async def _handle_list_resources(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """Lists the resources of the tools that the request's headers leave."""
        listed = await super()._handle_list_resources(ctx, params)
        narrowing = _asked(ctx)
        if narrowing.is_none:
            return listed
        # A view holds nothing of the tenant.
        left = [
            one for one in listed.resources if one.uri.startswith(_VIEWS) or narrowing.why_not(TOOL_OF[one.uri]) is None
        ]
        return ListResourcesResult(resources=left, ttl_ms=0, cache_scope="private")

    async def _handle_list_resource_templates(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Lists the templates of the tools that the request's headers leave."""
        listed = await super()._handle_list_resource_templates(ctx, params)
        narrowing = _asked(ctx)
        if narrowing.is_none:
            return listed
        left = [one for one in listed.resource_templates if narrowing.why_not(TOOL_OF[one.uri_template]) is None]
        return ListResourceTemplatesResult(resource_templates=left, ttl_ms=0, cache_scope="private")

    async def run_eras(
        self, incoming: ReadStream[SessionMessage | Exception], outgoing: ContextSendStream[SessionMessage]
    ) -> None:
        """Serves one client over streams. The SDK decides the protocol's era by the first request, for good.

        But some clients send `server/discover` and fall back to `initialize` when the answer takes too long. If nothing
        else has been asked, a new connection is begun for it.
        """
        server = self._lowlevel_server
        # The outer lifespan keeps the client of the API open between the two.
        async with server.lifespan(server), outgoing, anyio.create_task_group() as group:
            feed: ContextSendStream[SessionMessage | Exception] | None = None
            only_discovered = False
            async for item in incoming:
                message = item.message if isinstance(item, SessionMessage) else None
                method = message.method if isinstance(message, JSONRPCRequest) else None
                if feed is None or (only_discovered and method == "initialize"):
                    if feed is not None:
                        await feed.aclose()
                    feed, received = create_context_streams[SessionMessage | Exception](0)
                    options = server.create_initialization_options()
                    group.start_soon(server.run, received, outgoing.clone(), options)
                    only_discovered = True
                only_discovered = only_discovered and method in (None, "server/discover")
                await feed.send(item)
            if feed is not None:
                await feed.aclose()

    async def _handle_complete(self, ctx: ServerRequestContext[Any], params: CompleteRequestParams) -> CompleteResult:
        """Completes arguments of the tools that the request's headers leave."""
        narrowing = _asked(ctx)
        names = frozenset(name for name in self.names if narrowing.why_not(BY_NAME[name]) is None)
        found = Completion(values=[])
        if not await self._why_not():
            found = await suggest(self.runtime, names, params.argument)
        if found.values and is_person(params.argument.name):
            reader = Reader(self.runtime.audit, identity(Context(request_context=ctx, mcp_server=self)))
            try:
                await reader.note(BY_NAME["list_users"], {}, {"values": len(found.values)}, event="completion")
            except Refused:
                found = Completion(values=[])
        return CompleteResult(completion=found)

    def complete_arguments(self) -> None:
        """Offers completion. The SDK's decorator would not say which request asks."""
        self._lowlevel_server.add_request_handler("completion/complete", CompleteRequestParams, self._handle_complete)


def _asked(ctx: ServerRequestContext[Any]) -> Narrowing:
    try:
        return narrowing_of(getattr(ctx.request, "headers", None))
    except Refused as error:
        raise MCPError(code=INVALID_PARAMS, message=error.message) from error


async def _declare_extensions(ctx: ServerRequestContext[Any], call_next: CallNext) -> HandlerResult:
    """Tells clients of 2025 of the extensions too, which the SDK leaves out of `initialize`."""
    result = await call_next(ctx)
    if ctx.method == "initialize" and isinstance(result, dict):
        result["capabilities"].setdefault("extensions", {})[EXTENSION_ID] = {}
    return result


def audit_log(settings: Settings) -> AuditLog | None:
    """The audit log of these settings, ready to be written; none where none is asked for.

    Raises:
        Refused: its file cannot be appended to.
    """
    if not settings.audit_log:
        return None
    audit = AuditLog(settings.audit_log, lambda: tenant_in_use(settings.base_url), records_reads=settings.audit_reads)
    try:
        audit.check()
    except OSError as error:
        raise Refused(f"PP_AUDIT_LOG: {settings.audit_log} cannot be appended to ({error.strerror}).") from error
    return audit


def not_set_up(settings: Settings) -> str | None:
    """What to tell the user if required settings are missing; None if the server can work."""
    if not settings.missing:
        return None
    return (
        "This server is not set up yet. Ask the user to add these variables to its entry in the client's settings and "
        f"to restart it. {' '.join(settings.missing)}"
    )


def why_off(name: str, settings: Settings) -> str:
    """Which setting keeps a tool from being served."""
    tool = BY_NAME[name]
    if settings.read_only and tool.effect is not Effect.READ:
        return f"{name} is switched off: this server only reads (PP_READ_ONLY)."
    if settings.confirm == "block" and tool.effect is Effect.DESTROY:
        return f"{name} is switched off: this server does nothing that must be confirmed (PP_CONFIRM=block)."
    if tool.toolset not in settings.toolsets:
        return f"{name} is switched off: its toolset {tool.toolset} is not among PP_TOOLSETS."
    return f"{name} is switched off: it is not among PP_TOOLS."


def build_server(
    settings: Settings,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    routes: Mapping[str, Route] = ROUTES,
    secrets_dir: Path | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> PlusPlusServer:
    """The server for these settings; the menu is made without any request.

    `transport` replaces the network, for the demo tenant and for tests. The client of the API is opened when the server
    starts serving and closed when it stops; one for all requests.
    """
    keys = settings.signing_keys

    def make_client(base_url: str, token: SecretStr) -> Client:
        return Client(
            base_url=base_url,
            token=token,
            timeout=settings.timeout,
            max_concurrency=settings.max_concurrency,
            max_pause=settings.max_pause,
            routes=routes,
            transport=transport,
            clock=clock,
            user_agent=f"pp-mcp/{__version__}",
        )

    callers = CallerClients(make_client) if settings.caller_tokens else None
    # While the address is missing, or callers bring it, no call gets as far as this client.
    client = make_client(settings.base_url or "https://missing.invalid", settings.api_token)
    zone = ZoneInfo(settings.timezone)
    runtime = Runtime(
        client=client,
        callers=callers,
        confirmer=Confirmer(keys, settings.base_url, settings.confirm),
        brake=Brake(settings.max_writes_per_hour or None),
        pace=Pace(settings.unconfirmed_writes),
        audit=audit_log(settings),
        secrets_dir=secrets_dir,
        today=lambda: datetime.now(zone).date(),
        zone=zone,
    )

    connections = 0

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[Runtime]:
        nonlocal connections
        # In memory each connection has a lifespan of its own; the first to end must not close what the others use.
        connections += 1
        try:
            yield runtime
        finally:
            connections -= 1
            if not connections:
                await client.aclose()
                if callers is not None:
                    await callers.trim(0)

    tools = enabled(settings.toolsets, settings.tools, read_only=settings.read_only, block=settings.confirm == "block")
    server = PlusPlusServer(
        "pp-mcp",
        title="PlusPlus",
        version=__version__,
        website_url="https://www.plusplus.co",
        icons=[Icon(src=ICON, mime_type="image/svg+xml", sizes=["any"])],
        instructions=INSTRUCTIONS,
        tools=[ServedTool.of(tool, runtime) for tool in tools],
        extensions=[apps(tools)],
        middleware=[_declare_extensions],
        lifespan=lifespan,
        log_level="WARNING",
        # Lists never change while the server runs, so there is nothing to subscribe to, in either era.
        subscriptions=False,
        cache_hints={"tools/list": _HOUR, "server/discover": _HOUR},
        request_state_security=RequestStateSecurity(
            keys=[hashlib.sha256(b"pp-mcp state\0" + key).digest() for key in keys],
            bind_principal=lambda _: principal() or None,
        ),
    )
    names = frozenset(tool.name for tool in tools)
    server.resources = Resources(runtime, names)
    add_prompts(server, names)

    server.complete_arguments()
    server.names = names
    server.settings_used = settings
    server.runtime = runtime
    server.redactor = Redactor(settings.api_token)
    redact_logs(settings.api_token)
    return server
