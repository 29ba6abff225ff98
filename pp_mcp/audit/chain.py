"""How lines hang together: each holds the hash of the one before and its own."""

from __future__ import annotations

import hashlib
import json
from typing import Any

GENESIS = "0" * 64
"""What the first line names as the hash of the one before."""


def sealed(record: dict[str, Any], previous: str) -> str:
    """The record as a line (without its end), chained to the line whose hash is `previous`."""
    body = {**record, "prev": previous}
    return _text({**body, "hash": digest(body)})


def digest(body: dict[str, Any]) -> str:
    """SHA-256 of a record with its `prev`, without its `hash`, in canonical JSON."""
    return hashlib.sha256(_text(body).encode()).hexdigest()


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str)
