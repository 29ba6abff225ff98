"""Reading the audit log: whether it is intact, and what it says."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pp_mcp.audit.chain import GENESIS, LONGEST, parsed, sealed
from pp_mcp.text import neutralise


@dataclass(frozen=True)
class Line:
    """A line: its number from 1, its bytes without newline, and its record, or None if it cannot be read."""

    number: int
    raw: bytes
    record: dict[str, Any] | None

    def matches(self, tool: str | None, since: str | None, user: str | None) -> bool:
        """Whether the line is about this tool, not older than `since` (ISO 8601), and names this user or thing."""
        record = self.record or {}
        named = json.dumps([record.get(part) for part in ("caller", "target", "resolved", "arguments")]).casefold()
        return (
            (tool is None or record.get("tool") == tool)
            and (since is None or str(record.get("time", "")) >= since)
            and (user is None or json.dumps(user).strip('"').casefold() in named)
        )


@dataclass(frozen=True)
class Finding:
    """Something wrong with the log: the line's number from 1, and what it is."""

    number: int
    what: str


def read_lines(path: Path) -> Generator[Line]:
    """The lines of the file, one at a time.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST + 1):
            number += 1
            is_too_long = len(raw) > LONGEST and not raw.endswith(b"\n")
            rest = raw if is_too_long else b""
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(LONGEST)
            raw = raw.removesuffix(b"\n")
            yield Line(number, raw, None if is_too_long else parsed(raw))


def shown(record: dict[str, Any]) -> str:
    """A record as one line for people. Text in it may come from a client or a tenant, so it is neutralised."""
    target, caller = _object(record, "target"), _object(record, "caller")
    words = [
        *(str(record.get(part, "?")) for part in ("time", "event", "tool")),
        str(target.get("name") or target.get("public_id") or "-"),
        f"by {caller.get('principal') or caller.get('client') or '?'}",
    ]
    for part in ("consent", "outcome", "code", "error", "counts", "changes"):
        if value := record.get(part):
            words.append(f"{part} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return "  ".join(" ".join(neutralise(word).split()) for word in words)


def _object(record: dict[str, Any], name: str) -> dict[str, Any]:
    value: object = record.get(name)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def verify(path: Path, expected: str | None = None) -> tuple[int, str, list[Finding]]:
    """How many lines hold, the hash of the last one, and what is wrong.

    A line that was changed, removed, inserted or moved breaks the chain and is named. Lines removed from the end show
    only if `expected`, a hash noted earlier, is on none of the lines; a chain that was recomputed as a whole does not
    show. An intention without an outcome is named too: the server stopped there, and the change may have happened.
    """
    previous, good, number = GENESIS, 0, 0
    findings: list[Finding] = []
    intended: dict[str, int] = {}
    is_missing = expected is not None
    for line in read_lines(path):
        number, record = line.number, line.record
        if record is None:
            what = "cannot be read: cut short or edited" if line.raw else "is blank: inserted, or a line was erased"
            findings.append(Finding(number, what))
            continue
        stated, stated_before = record.get("hash"), record.get("prev")
        if sealed(record, str(stated_before)).encode() != line.raw:
            findings.append(Finding(number, "was edited: its hash does not match"))
        elif stated_before != previous:
            findings.append(Finding(number, "does not follow the line before: lines were removed, inserted or moved"))
        else:
            good += 1
        is_missing = is_missing and stated != expected
        previous = stated if isinstance(stated, str) else previous
        call = str(record.get("call"))
        if record.get("event") == "intended":
            intended[call] = number
        elif record.get("event") == "outcome":
            intended.pop(call, None)
    findings += [
        Finding(at, "has no outcome: the server stopped there; check whether the change happened")
        for at in intended.values()
    ]
    if is_missing:
        findings.append(
            Finding(number, "is the last one, and no line has the expected hash: lines are missing at the end")
        )
    return good, previous, sorted(findings, key=lambda finding: finding.number)
