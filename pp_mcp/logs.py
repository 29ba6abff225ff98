"""What goes to stderr and stdout: our own log at PP_LOG_LEVEL, warnings of libraries, no floods, a quiet end."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

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


CALL: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("CALL", default=())
"""What every line about the call under way says in JSON: its tool, and the request's id."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@contextmanager
def about(tool: str, request_id: str | None) -> Generator[None]:
    """Marks the lines of one call. `request_id` is what the balancer's X-Request-Id says; else there is a new one."""
    known = request_id if request_id and _REQUEST_ID.fullmatch(request_id) else uuid.uuid4().hex
    token = CALL.set((("tool", tool), ("request_id", known)))
    try:
        yield
    finally:
        CALL.reset(token)


class JsonLines(logging.Formatter):
    """A JSON object a line: time (ISO 8601, UTC), level, logger, message; within a call, tool, request_id and, where
    there are traces, trace_id; of an error, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **dict(CALL.get()),
        }
        from opentelemetry import trace

        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(level: str, form: str = "text") -> None:
    """Never to stdout, which on stdio belongs to the protocol. A library's details may contain answers and tokens."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    lines = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else lines)
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
