"""Serving on stdin and stdout until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import stat
import sys

import anyio
from mcp.server.stdio import stdio_server

from pp_mcp import telemetry
from pp_mcp.errors import Refused
from pp_mcp.logs import quiet_when_stdout_breaks
from pp_mcp.server.app import PlusPlusServer
from pp_mcp.server.tasks import GRACE

log = logging.getLogger("pp_mcp.server")

LAST_ANSWER = 0.5
"""Seconds that the answer about those writes is given to reach the client."""


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
