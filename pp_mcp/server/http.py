"""Serving over streamable HTTP or stdio until told to stop."""

from __future__ import annotations

import logging
import math
import os
import signal
import stat
import sys
from types import FrameType

import anyio
import httpx2
import uvicorn
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pp_mcp import __version__, telemetry
from pp_mcp.errors import Refused
from pp_mcp.logs import quiet_when_stdout_breaks
from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.connections import BoundedProtocol
from pp_mcp.server.endpoint import PATH, check_bind, in_url, protect, security

log = logging.getLogger("pp_mcp.server")

GRACE = 5.0
"""Seconds beyond PP_TIMEOUT, the time of one request to PlusPlus, that calls in progress may take after SIGTERM."""


LAST_ANSWER = 0.5
"""Seconds that the answer about those writes is given to reach a client on stdio."""


def http_app(
    server: PlusPlusServer, host: str = "127.0.0.1", issuer: httpx2.AsyncBaseTransport | None = None
) -> Starlette:
    """The ASGI application: MCP at `/mcp`, and `/health`. `issuer` replaces the network to the OAuth issuer, for tests.

    Raises:
        Refused: `host` can be reached from other computers, and the settings do not say who may call; or their sign-in
            cannot work.
    """
    settings = server.settings_used
    check_bind(host, settings)

    @server.custom_route("/health", methods=["GET"])
    async def health(_: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by the decorator
        return JSONResponse({"status": "ok", "version": __version__})

    app = server.streamable_http_app(streamable_http_path=PATH, transport_security=security(host, settings))
    app.router.redirect_slashes = False
    protect(app, settings, server.names, issuer)
    return app


def serve_http(server: PlusPlusServer, host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM; requests in progress are answered first."""
    config = uvicorn.Config(
        http_app(server, host),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        http=BoundedProtocol,
        ws="none",
        limit_concurrency=server.settings_used.max_connections,
        timeout_graceful_shutdown=math.ceil(server.settings_used.timeout + GRACE),
    )
    # uvicorn raises the signal that stopped it again once it is done; by then nothing is left to do.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    log.info("Serving MCP at http://%s:%d%s", in_url(host), port, PATH)
    _Server(config, server).run()


class _Server(uvicorn.Server):
    """Tells bulk work that it is time to stop."""

    def __init__(self, config: uvicorn.Config, server: PlusPlusServer) -> None:
        super().__init__(config)
        self._runtime = server.runtime

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does: bulk work begins nothing more, requests under way are answered, then it ends."""
        self._runtime.stopping.set()
        super().handle_exit(sig, frame)


def serve_stdio(server: PlusPlusServer) -> None:
    """Serves on stdin and stdout until stdin ends or SIGTERM arrives; a write in progress is completed first.

    Raises:
        Refused: the settings want each caller's own token, and nothing carries one here.
    """
    if server.settings_used.caller_tokens:
        raise Refused(
            "PP_CALLER_TOKENS needs --transport http: on stdio no request has headers. Set PP_API_TOKEN instead."
        )
    with quiet_when_stdout_breaks():
        anyio.run(_stdio, server)


async def _stdio(server: PlusPlusServer) -> None:
    async with anyio.create_task_group() as group:
        if sys.platform != "win32":
            group.start_soon(_stop_on_signal, server)
            group.start_soon(_stop_when_stdout_breaks, server, os.dup(1))
        async with stdio_server() as (incoming, outgoing):
            await server.run_eras(incoming, outgoing)
        group.cancel_scope.cancel()


async def _stop_on_signal(server: PlusPlusServer) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            await _stop(server)


async def _stop_when_stdout_breaks(server: PlusPlusServer, stdout: int) -> None:
    """Stops when the client has closed its end of a pipe: the pipe then reports an error, which counts as readable."""
    if stat.S_ISFIFO(os.fstat(stdout).st_mode):
        await anyio.wait_readable(stdout)
        await _stop(server)


async def _stop(server: PlusPlusServer) -> None:
    log.info("Stopping.")
    server.runtime.stopping.set()
    if server.runtime.is_writing:
        with anyio.move_on_after(server.settings_used.timeout + GRACE):
            await server.runtime.writes_done()
        await anyio.sleep(LAST_ANSWER)
    # The thread that reads stdin cannot be interrupted, and nothing is left to lose.
    telemetry.stop()
    logging.shutdown()
    os._exit(0)
