"""Reading the audit log: is it whole, and what does it say."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pp_mcp.audit.chain import GENESIS, digest


@dataclass(frozen=True)
class Line:
    """One line: its number from 1, and its record, or None where it cannot be read."""

    number: int
    record: dict[str, Any] | None


@dataclass(frozen=True)
class Finding:
    """Something wrong with the log."""

    number: int
    what: str


def read_lines(path: Path) -> Generator[Line]:
    """The lines of the file, one at a time.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                record = json.loads(raw)
            except ValueError:
                record = None
            yield Line(number, cast("dict[str, Any]", record) if isinstance(record, dict) else None)


def verify(path: Path) -> tuple[int, str, list[Finding]]:
    """How many lines hold, the hash of the last one, and what is wrong.

    A changed line, one taken out or put in, or the order changed breaks the chain and is named. Lines taken off the end
    do not: keep the last hash elsewhere, and compare. Nor does a chain that was computed anew throughout. An intention
    without an outcome is named too: the server broke off there, and whether the change happened is unknown.
    """
    previous, good = GENESIS, 0
    findings: list[Finding] = []
    intended: dict[str, int] = {}
    for line in read_lines(path):
        record = line.record
        if record is None:
            findings.append(Finding(line.number, "cannot be read: cut short or edited"))
            continue
        said = record.get("hash")
        body = {name: value for name, value in record.items() if name != "hash"}
        if not isinstance(said, str) or digest(body) != said:
            findings.append(Finding(line.number, "was edited: its hash does not fit"))
        elif record.get("prev") != previous:
            findings.append(
                Finding(line.number, "does not follow the line before: lines were taken out, put in or moved")
            )
        else:
            good += 1
        previous = said if isinstance(said, str) else previous
        call = str(record.get("call"))
        if record.get("event") == "intended":
            intended[call] = line.number
        elif record.get("event") == "outcome":
            intended.pop(call, None)
    findings += [
        Finding(number, "was intended and has no outcome: the server broke off; look whether it happened")
        for number in intended.values()
    ]
    return good, previous, sorted(findings, key=lambda finding: finding.number)
