"""A transport to a tenant in the same process."""

from __future__ import annotations

import httpx2
from starlette.types import ASGIApp

from pp_mcp.demo.errors import ConnectionDropped


class InProcess(httpx2.AsyncBaseTransport):
    """Carries requests to an ASGI app; a dropped connection looks as it does on a network."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx2.ASGITransport(app=app)
        self._drops = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request, or raise what httpx2 raises for a broken connection."""
        try:
            return await self._inner.handle_async_request(request)
        except ConnectionDropped as dropped:
            # Alternating, whatever took effect: the kind of break must tell a client nothing.
            self._drops += 1
            if self._drops % 2:
                raise httpx2.RemoteProtocolError(
                    "Server disconnected without sending a response.", request=request
                ) from dropped
            raise httpx2.ReadError("Connection reset by peer.", request=request) from dropped
