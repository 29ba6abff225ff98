"""Writing the audit log.

A write is recorded as `intended` before it is sent and with its `outcome` afterwards: an intention without an outcome
means that the server stopped in between. Several processes can append to one file. Each line is on disk before the
request that it announces. If the log cannot be written, nothing is changed.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
import sys
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread

from pp_mcp.audit.chain import GENESIS, LONGEST, parsed, sealed
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
"""Characters of one text value; of the caller's name and version, and of names of arguments, a fifth of that."""

DEEPEST = 12
"""Levels of nesting; what lies deeper is left out."""

TAIL = 4 * LONGEST
"""Bytes at the end of the file in which the last line is sought."""

FIXED = frozenset({"time", "tenant", "call", "event", "tool", "caller"})
"""Parts of a line that are always short. The others give way, the bulkiest first, if a line would be too long."""


@dataclass(frozen=True)
class Entry:
    """One call, with what all its lines share."""

    log: AuditLog
    tool: str
    arguments: Mapping[str, Any]
    caller: Mapping[str, str | None]
    known: Collection[str] | None = None
    """The tool's arguments; of others, such as misspelt ones, only the name is recorded. None: all are known."""
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
                "caller": {name: _line(value) for name, value in self.caller.items()},
                "arguments": masked(self.arguments, self.known),
                **{name: _short(value) for name, value in facts.items() if value is not None},
            }
        )


class AuditLog:
    """The log, in a file, or on stderr if `path` is `-`. `tenant` is what a line is about, or says so at the time."""

    def __init__(
        self,
        path: str,
        tenant: str | Callable[[], str],
        *,
        records_reads: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = None if path == "-" else Path(path).expanduser()
        self._tenant = tenant if callable(tenant) else lambda: tenant
        self._now = now
        self.records_reads = records_reads
        """Whether reads of people are recorded too."""
        self._last = GENESIS
        """The hash of the last line on stderr; in a file it is read each time, since others write there too."""

    def check(self) -> None:
        """Raises OSError if the file cannot be appended to."""
        if self._path is not None:
            with _opened(self._path):
                pass

    def entry(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        caller: Mapping[str, str | None],
        known: Collection[str] | None = None,
    ) -> Entry:
        """The entry through which a call writes its lines; `known` are the names of the tool's arguments."""
        return Entry(self, tool, arguments, caller, known)

    async def append(self, record: dict[str, Any]) -> None:
        """Adds time and tenant, chains the record to the last line and flushes it to disk.

        Raises:
            Refused: it could not be written; the file is unchanged.
        """
        moment = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        whole = _bounded({"time": moment, "tenant": self._tenant(), **record})
        try:
            await anyio.to_thread.run_sync(self._append, whole)
        except OSError as error:
            log.error("The audit log cannot be written: %s", error.strerror)
            raise Refused(
                f"The audit log cannot be written ({error.strerror}), and nothing is done without a record. Nothing "
                "was changed. Make the file in PP_AUDIT_LOG writable first."
            ) from error

    def _append(self, record: dict[str, Any]) -> None:
        if self._path is None:
            line = sealed(record, self._last)
            self._last = (parsed(line.encode()) or {})["hash"]
            print(line, file=sys.stderr, flush=True)
            return
        with _opened(self._path) as file, _locked(file):
            size = os.lseek(file, 0, os.SEEK_END)
            last, is_torn = _last_hash(file, size)
            # A line that a crash cut short stays as evidence; the next one starts on a new line.
            data = ("\n" if is_torn else "").encode() + sealed(record, last).encode() + b"\n"
            try:
                if os.write(file, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise


@contextmanager
def _opened(path: Path) -> Generator[int]:
    """The file for reading and appending, created if missing, and for its owner only."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        file = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "it is a symbolic link; give the file itself") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if sys.platform != "win32":
            os.fchmod(file, 0o600)
        yield file
    finally:
        os.close(file)


@contextmanager
def _locked(file: int) -> Generator[None]:
    """Locks the file against writes by other processes."""
    if sys.platform == "win32":  # pragma: no cover - the other branch is what the tests run on
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
        try:
            yield
        finally:
            os.lseek(file, 0, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
    else:
        # Closing the file unlocks it.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_hash(file: int, size: int) -> tuple[str, bool]:
    """The hash of the last complete line, and whether a partial one follows it."""
    os.lseek(file, max(0, size - TAIL), os.SEEK_SET)
    tail = os.read(file, min(size, TAIL))
    for line in reversed(tail.split(b"\n")):
        found = (parsed(line) or {}).get("hash")
        if isinstance(found, str):
            return found, not tail.endswith(b"\n")
    return GENESIS, bool(tail) and not tail.endswith(b"\n")


def _bounded(record: dict[str, Any]) -> dict[str, Any]:
    """The record, with its largest parts replaced by their size until it fits in a line."""
    sizes = {name: len(sealed({name: record[name]}, "")) for name in record}
    total = sum(sizes.values())
    for name in sorted(record.keys() - FIXED, key=lambda name: -sizes[name]):
        if total <= LONGEST:
            break
        record = {**record, name: {"left_out": f"{sizes[name]:,} characters"}}
        total -= sizes[name] - 100
    return record


def masked(arguments: Mapping[str, Any], known: Collection[str] | None = None) -> dict[str, Any]:
    """The arguments without secrets, free text, and values of arguments that the tool does not have."""
    shown: dict[str, Any] = {}
    unknown = [name for name in arguments if known is not None and name not in known]
    for name, value in arguments.items():
        if known is not None and name not in known:
            continue
        if name in SECRET:
            shown[name] = "(secret)"
        elif name in MASKED and value is not None:
            shown[name] = f"({len(str(value))} characters)"
        else:
            shown[name] = _short(value)
    if unknown:
        shown["unknown"] = [_line(name) for name in unknown[:20]]
    return shown


def _line(value: str | None) -> str | None:
    """A short text on one line."""
    return None if value is None else neutralise(" ".join(neutralise(value[:1_000]).split()), VALUE_LIMIT // 5)


def _short(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return neutralise(value[: 2 * VALUE_LIMIT], VALUE_LIMIT)
    if depth > DEEPEST and isinstance(value, Mapping | list | tuple):
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        return {_line(str(name)): _short(one, depth + 1) for name, one in value.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON
    if isinstance(value, list | tuple):
        return [_short(one, depth + 1) for one in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    if isinstance(value, int | float) and not -1e18 < value < 1e18:
        return "(not a usual number)"
    return value
