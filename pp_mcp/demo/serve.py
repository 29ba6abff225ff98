"""A demo tenant on a port."""

from __future__ import annotations

import copy
import logging
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from pp_mcp.demo.errors import ConnectionDropped
from pp_mcp.demo.tenant import Tenant


class HideDrops(logging.Filter):
    """Keeps the tracebacks of deliberately broken connections out of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        return not (record.exc_info and isinstance(record.exc_info[1], ConnectionDropped))


def _logging() -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    # Everything goes to stderr: the stdout of the process may belong to a protocol.
    for handler in config["handlers"].values():
        handler["stream"] = "ext://sys.stderr"
        handler["filters"] = ["hide_drops"]
    config["filters"] = {"hide_drops": {"()": HideDrops}}
    return config


def server(tenant: Tenant, host: str, port: int) -> uvicorn.Server:
    """A uvicorn server for the tenant, not yet running; port 0 takes a free one."""
    return uvicorn.Server(
        uvicorn.Config(tenant.app, host=host, port=port, http="h11", lifespan="off", log_config=_logging())
    )


def run(tenant: Tenant, host: str, port: int) -> None:
    """Serves the tenant until interrupted; logs to stderr."""
    server(tenant, host, port).run()
