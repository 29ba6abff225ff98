"""Serving over streamable HTTP until told to stop."""

from __future__ import annotations

import logging
import math
import signal
import sys
from types import FrameType

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pp_mcp import __version__
from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.connections import BoundedProtocol
from pp_mcp.server.endpoint import PATH, check_bind, in_url, protect, security
from pp_mcp.server.tasks import GRACE

log = logging.getLogger("pp_mcp.server")


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
