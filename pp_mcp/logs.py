"""What goes to stderr and stdout: our own log at PP_LOG_LEVEL, warnings of libraries, no floods, a quiet end."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

QUIET_SECONDS = 10.0
"""Seconds for which a library's warning is not repeated."""


class Seldom(logging.Filter):
    """Lets a library's warning through once in a while, so that hostile requests cannot fill the log."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._logged: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.name.startswith("pp_mcp") or record.levelno >= logging.ERROR:
            return True
        place, now = (record.pathname, record.lineno), self._now()
        is_due = now - self._logged.get(place, -QUIET_SECONDS) >= QUIET_SECONDS
        if is_due:
            self._logged[place] = now
        return is_due


def log_to_stderr(level: str) -> None:
    """Never to stdout, which on stdio belongs to the protocol. A library's details may contain answers and tokens."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(
        level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), handlers=[handler], force=True
    )
    logging.getLogger("pp_mcp").setLevel(level)


@contextmanager
def quiet_when_stdout_breaks() -> Generator[None]:
    """Ends the block without a word when whoever reads stdout is gone: there is nobody left to tell."""
    try:
        yield
    except* (BrokenPipeError, ConnectionResetError):
        # At exit Python flushes stdout once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
