"""Writing the audit log.

A write is recorded as `intended` before it is sent and with its `outcome` afterwards: an intention without an outcome
means that the server stopped in between. Several processes can append to one file. Each line is on disk before the
request that it announces. If the log cannot be written, nothing is changed.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import anyio.to_thread

from pp_mcp.audit.chain import GENESIS, sealed
from pp_mcp.errors import Refused
from pp_mcp.text import neutralise

if sys.platform == "win32":  # pragma: no cover - the other branch is what the tests run on
    import msvcrt
else:
    import fcntl

log = logging.getLogger("pp_mcp.audit")

MASKED = frozenset({"reason", "search"})
"""Arguments whose text stays in the tenant: only its length is recorded."""

SECRET = frozenset({"confirm_token"})

VALUE_LIMIT = 500
"""Characters of one text value."""

TAIL = 1 << 20
"""Bytes at the end of the file in which the last line is sought; no line is longer."""

LONGEST = TAIL // 4
"""Characters of one line. A longer one has its bulkiest parts replaced by their size."""

BULKY = ("arguments", "before", "items", "resolved", "changes")


@dataclass(frozen=True)
class Entry:
    """One call that may write, with what all its lines share."""

    log: AuditLog
    tool: str
    arguments: Mapping[str, Any]
    caller: Mapping[str, str | None]
    call: str = field(default_factory=lambda: secrets.token_hex(8))

    async def write(self, event: str, **facts: Any) -> None:
        """Appends a line.

        Raises:
            Refused: the log cannot be written, so what the line announces must not happen.
        """
        await self.log.append(
            {
                "call": self.call,
                "event": event,
                "tool": self.tool,
                "caller": dict(self.caller),
                "arguments": masked(self.arguments),
                **{name: _short(value) for name, value in facts.items() if value is not None},
            }
        )


class AuditLog:
    """The log of one tenant, in a file, or on stderr where `path` is `-`."""

    def __init__(self, path: str, tenant: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = None if path == "-" else Path(path).expanduser()
        self._tenant = tenant
        self._now = now
        self._last = GENESIS
        """The hash of the last line on stderr; in a file it is read each time, since others write there too."""

    def check(self) -> None:
        """Raises OSError if the file cannot be appended to."""
        if self._path is not None:
            with self._path.open("ab"):
                pass
            if self._path.is_file():
                self._path.chmod(0o600)

    def entry(self, tool: str, arguments: Mapping[str, Any], caller: Mapping[str, str | None]) -> Entry:
        """The entry through which a call writes its lines."""
        return Entry(self, tool, arguments, caller)

    async def append(self, record: dict[str, Any]) -> None:
        """Adds time and tenant, chains the record to the last line and flushes it to disk.

        Raises:
            Refused: it could not be written; the file is unchanged.
        """
        moment = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        whole = _bounded({"time": moment, "tenant": self._tenant, **record})
        try:
            await anyio.to_thread.run_sync(self._append, whole)
        except OSError as error:
            log.error("The audit log cannot be written: %s", error.strerror)
            raise Refused(
                f"The audit log cannot be written ({error.strerror}), and nothing is changed without a record. "
                "Nothing was sent. Reading still works. Make the file in PP_AUDIT_LOG writable first."
            ) from error

    def _append(self, record: dict[str, Any]) -> None:
        if self._path is None:
            line = sealed(record, self._last)
            self._last = json.loads(line)["hash"]
            print(line, file=sys.stderr, flush=True)
            return
        with self._path.open("a+b") as file, _alone(file):
            size = file.seek(0, os.SEEK_END)
            last, torn = _last_hash(file, size)
            # A line that a crash cut short stays as evidence; the next one starts on a new line.
            data = ("\n" if torn else "") + sealed(record, last) + "\n"
            try:
                file.write(data.encode())
                file.flush()
                if self._path.is_file():
                    os.fsync(file.fileno())
            except OSError:
                _undo_write(file, size)
                raise


def _bounded(record: dict[str, Any]) -> dict[str, Any]:
    """The record, with its largest parts replaced by their size until it fits in a line."""
    sizes = {name: len(json.dumps(record[name], default=str)) for name in BULKY if name in record}
    total = len(json.dumps(record, default=str))
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if total <= LONGEST:
            break
        record = {**record, name: {"left_out": f"{size:,} characters"}}
        total -= size
    return record


def _undo_write(file: IO[bytes], size: int) -> None:
    try:
        os.ftruncate(file.fileno(), size)
    except OSError:
        log.warning("A partial line could not be removed from the audit log.")


def _last_hash(file: IO[bytes], size: int) -> tuple[str, bool]:
    """The hash of the last complete line, and whether a partial one follows it."""
    file.seek(max(0, size - TAIL))
    tail = file.read(min(size, TAIL))
    torn = bool(tail) and not tail.endswith(b"\n")
    for line in reversed(tail.split(b"\n")):
        try:
            found = json.loads(line)["hash"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(found, str):
            return found, torn
    return GENESIS, torn


@contextmanager
def _alone(file: IO[bytes]) -> Generator[None]:
    """Locks the file against writes by other processes."""
    if sys.platform == "win32":  # pragma: no cover - the other branch is what the tests run on
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def masked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without secrets and free text."""
    shown: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in SECRET:
            shown[name] = "(secret)"
        elif name in MASKED and isinstance(value, str):
            shown[name] = f"({len(value)} characters)"
        else:
            shown[name] = _short(value)
    return shown


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return neutralise(value, VALUE_LIMIT)
    if isinstance(value, Mapping):
        return {str(name): _short(one) for name, one in value.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON
    if isinstance(value, list | tuple):
        return [_short(one) for one in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    return value
