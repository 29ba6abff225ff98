"""`python bundles/with_source.py FOLDER`: the bundle for Claude Desktop, with the source instead of a release."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lay_out(folder: Path) -> None:
    """Puts the bundle's files into a new folder, ready to be packed."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "bundles" / "mcpb", folder, ignore=ignored)
    shutil.copytree(ROOT / "pp_mcp", folder / "pp_mcp", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
