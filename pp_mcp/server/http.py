"""Serving over streamable HTTP until told to stop."""

from __future__ import annotations

import gc
import logging
import math
import signal
import sys
import time
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

DRAIN = 5.0
"""Seconds of those in which a stateless replica still takes requests, while `/ready` says that it stops."""


def http_app(
    server: PlusPlusServer,
    host: str = "127.0.0.1",
    issuer: httpx2.AsyncBaseTransport | None = None,
    *,
    stateless: bool = False,
) -> Starlette:
    """The ASGI application: MCP at `/mcp`, `/health` (it runs) and `/ready` (send it requests). With `stateless`, any
    process can answer any request. `issuer` replaces the network to the OAuth issuer, for tests.

    Raises:
        Refused: `host` can be reached from other computers, and the settings do not say who may call; or their sign-in
            cannot work.
    """
    settings = server.settings_used
    check_bind(host, settings)

    @server.custom_route("/health", methods=["GET"])
    async def health(_: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by the decorator
        return JSONResponse({"status": "ok", "version": __version__})

    @server.custom_route("/ready", methods=["GET"])
    async def ready(_: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by the decorator
        if server.runtime.stopping.is_set():
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok" if await server.runtime.store.is_there() else "degraded"})

    app = server.streamable_http_app(
        streamable_http_path=PATH, transport_security=security(host, settings), stateless_http=stateless
    )
    app.router.redirect_slashes = False
    protect(app, settings, server.names, issuer)
    return app


def serve_http(server: PlusPlusServer, host: str, port: int, *, stateless: bool = False) -> None:
    """Serves until SIGINT or SIGTERM; requests in progress are answered first."""
    drain = DRAIN if stateless else 0.0
    config = uvicorn.Config(
        http_app(server, host, stateless=stateless),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        http=BoundedProtocol,
        ws="none",
        limit_concurrency=server.settings_used.max_connections,
        timeout_graceful_shutdown=math.ceil(server.settings_used.timeout + GRACE - drain),
    )
    # uvicorn raises the signal that stopped it again once it is done; by then nothing is left to do.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    log.info("Serving MCP at http://%s:%d%s", in_url(host), port, PATH)
    # What there is now stays: the collector of cycles need not look at it again and again.
    gc.collect()
    gc.freeze()
    _Server(config, server, drain).run()


class _Server(uvicorn.Server):
    """Tells bulk work, and at `/ready` a balancer, that it is time to stop."""

    def __init__(self, config: uvicorn.Config, server: PlusPlusServer, drain: float = 0.0) -> None:
        super().__init__(config)
        self._runtime, self._drain = server.runtime, drain
        self._closes_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does: bulk work begins nothing more, requests under way are answered, then it ends. After the
        first SIGTERM new requests are taken a while longer, until a balancer has looked at `/ready`."""
        is_first = not self._runtime.stopping.is_set()
        self._runtime.stopping.set()
        if is_first and self._drain and sig == signal.SIGTERM:
            self._closes_at = time.monotonic() + self._drain
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to close now; uvicorn asks ten times a second."""
        return await super().on_tick(counter) or time.monotonic() >= self._closes_at
