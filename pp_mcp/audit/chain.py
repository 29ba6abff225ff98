"""The hash chain: each line contains its own hash and that of the line before."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

GENESIS = "0" * 64
"""What the first line gives as the hash of the line before."""

LONGEST = 1 << 18
"""Bytes of one line at most."""


def sealed(record: dict[str, Any], previous: str) -> str:
    """The record as a line (without newline), chained to the line whose hash is `previous`."""
    body = {name: value for name, value in record.items() if name != "hash"} | {"prev": previous}
    return _text({**body, "hash": hashlib.sha256(_text(body).encode()).hexdigest()})


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None if it is not one JSON object that can be printed again."""
    try:
        record = json.loads(line, object_pairs_hook=_unique)
        json.dumps(record, ensure_ascii=False).encode()  # fails on lone surrogates
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str)
