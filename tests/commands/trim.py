"""Makes the contract that `pp-mcp doctor --openapi` compares with: `python -m tests.commands.trim`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pp_mcp.commands.openapi import EXPECTED, described

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "tests" / "demo" / "openapi.json"
TARGET = ROOT / "pp_mcp" / "commands" / EXPECTED


def text() -> str:
    """What the file must hold: a line for each operation. Of an open set, the values that the contract gives as examples
    are those that the tools know."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8").replace('"examples"', '"enum"'))
    lines = [json.dumps(asdict(one)) for one in described(document)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
