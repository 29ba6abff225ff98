"""The hash chain: each line contains its own hash and that of the line before."""

from __future__ import annotations

import hashlib
import json
from typing import Any

GENESIS = "0" * 64
"""What the first line gives as the hash of the line before."""


def sealed(record: dict[str, Any], previous: str) -> str:
    """The record as a line (without newline), chained to the line whose hash is `previous`."""
    body = {**record, "prev": previous}
    return _text({**body, "hash": digest(body)})


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a record with its `prev` but without its `hash`."""
    return hashlib.sha256(_text(body).encode()).hexdigest()


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str)
