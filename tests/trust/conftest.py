"""The whole stack on virtual time: a client, the server and the tenant behind it, which a test can exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client
from mcp.types import Implementation
from stage import Network, Stage

from pp_mcp.server.app import PlusPlusServer

from .loop import VirtualTime
from .tenant import quiet, serve, tiny


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualTime}


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def server(network: Network, tmp_path_factory: pytest.TempPathFactory) -> PlusPlusServer:
    return serve(network, tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
async def assistant(server: PlusPlusServer, anyio_backend: Any) -> AsyncIterator[Client]:
    """One client of one server, for a whole module: making them takes longer than a test."""
    async with Client(server, client_info=Implementation(name="trust", version="1")) as client:
        yield client


@pytest.fixture
async def stage(network: Network, server: PlusPlusServer, assistant: Client) -> AsyncIterator[Stage]:
    await quiet()
    made = Stage(tiny(), network=network, client=assistant, server=server)
    yield made
    made.close()
