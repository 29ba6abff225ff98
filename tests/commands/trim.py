"""Makes the contract that `pp-mcp doctor --openapi` compares with: `python -m tests.commands.trim`."""

from __future__ import annotations

import json
from pathlib import Path

from pp_mcp.commands.openapi import EXPECTED, trimmed

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "tests" / "demo" / "openapi.json"
TARGET = ROOT / "pp_mcp" / "commands" / EXPECTED


def text() -> str:
    """What the file must hold."""
    return trimmed(json.loads(DOCUMENT.read_text(encoding="utf-8")))


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
