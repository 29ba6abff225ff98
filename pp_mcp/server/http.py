"""Serving over streamable HTTP until told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from ipaddress import ip_address
from types import FrameType

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pp_mcp import __version__
from pp_mcp.config import is_this_computer
from pp_mcp.errors import Refused
from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.connections import BoundedProtocol
from pp_mcp.server.tasks import GRACE

log = logging.getLogger("pp_mcp.server")

PATH = "/mcp"


def http_app(server: PlusPlusServer, host: str = "127.0.0.1") -> Starlette:
    """The ASGI application: MCP at `/mcp`, and `/health`.

    Raises:
        Refused: `host` can be reached from other computers.
    """
    if not is_this_computer(host):
        raise Refused(
            f"--host {host} would open the server to other computers. It does not authenticate, so everyone who can "
            "reach it would act with the API token's rights. Bind to 127.0.0.1 and put an SSH tunnel or an "
            "authenticating proxy on the same machine in front of it."
        )

    @server.custom_route("/health", methods=["GET"])
    async def health(_: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by the decorator
        return JSONResponse({"status": "ok", "version": __version__})

    app = server.streamable_http_app(streamable_http_path=PATH, transport_security=_security(host))
    app.router.redirect_slashes = False
    return app


def _security(host: str) -> TransportSecuritySettings:
    """Requests must name this computer as their Host, and as their Origin if they have one (DNS rebinding)."""
    names = {"127.0.0.1", "localhost", "[::1]", _in_url(host)}
    with contextlib.suppress(ValueError):
        names.add(_in_url(ip_address(host).compressed))
    return TransportSecuritySettings(
        allowed_hosts=[f"{name}{port}" for name in sorted(names) for port in ("", ":*")],
        allowed_origins=[f"http://{name}{port}" for name in sorted(names) for port in ("", ":*")],
    )


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


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
        timeout_graceful_shutdown=int(GRACE),
    )
    # uvicorn raises the signal that stopped it again once it is done; by then nothing is left to do.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    log.info("Serving MCP at http://%s:%d%s", _in_url(host), port, PATH)
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
