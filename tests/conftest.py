"""What the tests of the server share: a small tenant, a server over it, a client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from mcp import Client
from stage import Stage, connected, small_tenant

from pp_mcp.demo import Tenant

settings.register_profile(
    "quick", deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("full", settings.get_profile("quick"))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests that need another program than Python run where the command line names them, as in `.ci/run`."""
    return True if collection_path.name == "outside" and not any("outside" in one for one in config.args) else None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = small_tenant()
    yield made
    made.close()


@pytest.fixture
def stage(tenant: Tenant) -> Stage:
    """The tenant with words for looking into it, past the API."""
    return Stage(tenant)


@pytest.fixture
async def client(tenant: Tenant) -> AsyncIterator[Client]:
    """A client in memory, on the newer protocol, of a server with every toolset."""
    async with connected(tenant) as found:
        yield found
