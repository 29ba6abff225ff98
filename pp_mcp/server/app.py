"""Putting the server together."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import TaskGroup
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
    GetPromptResult,
    Icon,
    InputRequiredResult,
    JSONRPCRequest,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    Resource,
    ResourceTemplate,
    Tool,
)
from pydantic import AnyUrl

from pp_mcp import __version__
from pp_mcp.config import Settings
from pp_mcp.errors import Refused
from pp_mcp.menu import Effect, enabled, menu
from pp_mcp.server.instructions import INSTRUCTIONS
from pp_mcp.server.narrowing import Narrowing, narrowing_of
from pp_mcp.server.principal import principal
from pp_mcp.server.redact import Redactor, redact_logs
from pp_mcp.server.tasks import GRACE, Tasks
from pp_mcp.views import apps

if TYPE_CHECKING:
    import httpx2

    from pp_mcp.api.limits import Clock
    from pp_mcp.server.perform import Runtime
    from pp_mcp.server.resources import Resources

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='7' fill='%232b50c8'/%3E"
    "%3Cpath d='M11 8v12M5 14h12M22 15v10M17 20h10' stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E"
).replace(" ", "%20")
"""Two plus signs on blue."""

_VIEWS = "ui://"

_HOUR = CacheHint(ttl_ms=3_600_000, scope="public")


class PlusPlusServer(MCPServer[Any]):
    """The MCP server; says why where a tool that exists is not served.

    Clients ask for the menu first and wait for it, so whatever only calls need is imported when it is first needed.
    """

    settings_used: Settings
    ways: dict[str, Any]
    """What `Runtime.of` takes besides the settings."""
    redactor: Redactor
    tasks: Tasks
    names: frozenset[str]
    """The tools that are served."""

    @cached_property
    def runtime(self) -> Runtime:
        """What all calls share, made by the first."""
        from pp_mcp.server.perform import Runtime

        return Runtime.of(self.settings_used, **self.ways)

    @cached_property
    def resources(self) -> Resources:
        """The resources of the tools that are served."""
        from pp_mcp.server.resources import Resources

        return Resources(self.runtime, self.names)

    @cached_property
    def _listed(self) -> list[Tool]:
        return [Tool.model_validate(menu()[name].definition) for name in sorted(self.names)]

    async def list_tools(self) -> list[Tool]:
        """Lists the tools that are served."""
        return [*self._listed, *await super().list_tools()]

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        return menu()[name].definition["inputSchema"] if name in self.names else super()._tool_input_schema(name)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Calls a tool; one that these settings switch off is refused with the setting that does."""
        if name not in menu():
            return self.redactor.result(await super().call_tool(name, arguments, context))
        if name not in self.names:
            return _refusal("refused", why_off(name, self.settings_used))
        if why_not := await self._why_not():
            return _refusal("not_set_up", why_not)
        from pp_mcp.inventory import BY_NAME
        from pp_mcp.server.call import ServedTool

        tool = ServedTool(BY_NAME[name], self.runtime)
        return await self.tasks.answer(tool, arguments, context or Context(mcp_server=self))

    async def _why_not(self) -> str | None:
        """Why the request that is being answered cannot reach PlusPlus; None where it can."""
        callers = self.runtime.callers
        if callers is None:
            return not_set_up(self.settings_used)
        await callers.trim()
        return callers.why_not()

    @cached_property
    def _has_prompts(self) -> bool:
        """Offers the prompts; asked for before they are used."""
        from pp_mcp.server.prompts import add_prompts

        add_prompts(self, self.names)
        return True

    async def list_prompts(self) -> list[Prompt]:
        """Lists the prompts whose tools are served."""
        return await super().list_prompts() if self._has_prompts else []

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Words a prompt."""
        _ = self._has_prompts
        return await super().get_prompt(name, arguments, context)

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
        left = [tool for tool in listed.tools if narrowing.why_not(menu()[tool.name]) is None]
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
        from pp_mcp.server.resources import TOOL_OF

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
        from pp_mcp.server.resources import TOOL_OF

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
        names = frozenset(name for name in self.names if narrowing.why_not(menu()[name]) is None)
        from pp_mcp.server.resources import is_person, suggest

        found = Completion(values=[])
        if not await self._why_not():
            found = await suggest(self.runtime, names, params.argument)
        if found.values and is_person(params.argument.name):
            from pp_mcp.inventory import BY_NAME
            from pp_mcp.server.asking import identity
            from pp_mcp.server.reads import Reader

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


def _refusal(code: str, why: str) -> CallToolResult:
    from pp_mcp.answers import ErrorAnswer
    from pp_mcp.server.render import rendered_error

    return rendered_error(ErrorAnswer(code=code, message=f"{why} Nothing was sent."))


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
    tool = menu()[name]
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
    secrets_dir: Path | None = None,
    clock: Clock | None = None,
) -> PlusPlusServer:
    """The server for these settings; the menu is made without any request.

    `transport` replaces the network, for the demo tenant and for tests, `clock` that of waiting. The client of the API
    is made by the first call and closed when the server stops; one for all requests.

    Raises:
        Refused: the audit log cannot be appended to, PP_ROUTES names what is no route, or PP_REDIS_URL cannot be used.
    """
    keys = settings.signing_keys
    connections = 0

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[TaskGroup]:
        nonlocal connections
        # In memory each connection has a lifespan of its own; the first to end must not close what the others use.
        connections += 1
        try:
            async with tasks.working() as group:
                yield group
        finally:
            connections -= 1
            if not connections and "runtime" in vars(server):
                await server.runtime.aclose()

    redactor = Redactor(settings.api_token)
    tasks = Tasks(redactor, lambda: server.runtime.store, settings.timeout + GRACE)
    tools = enabled(settings.toolsets, settings.tools, read_only=settings.read_only, block=settings.confirm == "block")
    server = PlusPlusServer(
        "pp-mcp",
        title="PlusPlus",
        version=__version__,
        website_url="https://www.plusplus.co",
        icons=[Icon(src=ICON, mime_type="image/svg+xml", sizes=["any"])],
        instructions=INSTRUCTIONS,
        extensions=[tasks, apps(tools)],
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
    server.names = frozenset(tool.name for tool in tools)
    server.settings_used = settings
    server.ways = {"transport": transport, "secrets_dir": secrets_dir, "clock": clock}
    if settings.audit_log or settings.routes or settings.redis_url.get_secret_value():
        # What is wrong with these is said before anything is served.
        _ = server.runtime
    server.complete_arguments()
    server.redactor, server.tasks = redactor, tasks
    redact_logs(settings.api_token)
    return server
