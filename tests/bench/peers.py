"""What stands beside the server in the bench over HTTP: `python -m tests.bench.peers api|bare …`.

`api PORT` gives recorded answers of the demo tenant, as fast as Python can. `bare PORT API` is a server of the SDK alone
whose tools make the same requests and answer what came.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import httpx2
import uvicorn
from mcp.server import MCPServer

from pp_mcp.demo import DEMO_TOKEN, Tenant

ROWS = 25


class Recorded(asyncio.Protocol):
    """One connection to the API. Requests have no body; each is answered by its path alone."""

    answers: dict[str, bytes]
    """Whole HTTP answers by path."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answers each request that is complete."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].partition(b"?")[0].decode()
            self._transport.write(self.answers[path])


async def record() -> tuple[str, dict[str, bytes]]:
    """A person's id, and the answers for that person and for the first page of people."""
    tenant = Tenant()
    base = httpx2.URL(tenant.base_url)
    headers = {"Authorization": f"Bearer {tenant.token}"}
    async with httpx2.AsyncClient(base_url=base, transport=tenant.transport(), headers=headers) as http:
        page = await http.get("/users", params={"page": 1, "page_size": ROWS})
        user: str = page.json()["data"][0]["public_id"]
        one = await http.get(f"/users/{user}")
    tenant.close()
    answers: dict[str, bytes] = {}
    for path, found in ((f"{base.path}/users", page), (f"{base.path}/users/{user}", one)):
        kept = {name: value for name, value in found.headers.items() if not name.startswith("x-ratelimit")}
        limits = {"x-ratelimit-limit": "1000000", "x-ratelimit-remaining": "999999", "x-ratelimit-reset": "60"}
        lines = [f"{name}: {value}" for name, value in {**kept, **limits}.items()]
        answers[path] = ("\r\n".join(["HTTP/1.1 200 OK", *lines]) + "\r\n\r\n").encode() + found.content
    return user, answers


async def api(port: int) -> None:
    """Serves the recorded answers; prints the person's id once it listens."""
    user, Recorded.answers = await record()
    server = await asyncio.get_running_loop().create_server(Recorded, "127.0.0.1", port)
    print(user, flush=True)
    await server.serve_forever()


def bare(port: int, base_url: str) -> None:
    """Serves the same two tools with nothing but the SDK."""
    logging.basicConfig(level=logging.WARNING)
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    http = httpx2.AsyncClient(base_url=base_url, headers={"Authorization": f"Bearer {DEMO_TOKEN}"})
    server = MCPServer[Any]("bare", log_level="WARNING")

    @server.tool()
    async def get_user(user: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] - registered
        """Gets a person."""
        return (await http.get(f"/users/{user}")).raise_for_status().json()

    @server.tool()
    async def list_users(page: int = 1, page_size: int = ROWS) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Lists people."""
        found = await http.get("/users", params={"page": page, "page_size": page_size})
        return found.raise_for_status().json()

    app = server.streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=port, http="h11", log_config=None, access_log=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["api", port]:
            asyncio.run(api(int(port)))
        case ["bare", port, base_url]:
            bare(int(port), base_url)
        case _:
            sys.exit(__doc__)
