"""How the house is built: who imports whom, how long files are, and what must not stand in them."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pp_mcp"

LEAVES = frozenset({"demo", "errors", "logs", "models", "text"})
OPERATION = frozenset({"answers", "api", "declare", "errors", "models", "plan", "text"})

MAY_IMPORT: dict[str, frozenset[str]] = {
    **dict.fromkeys(LEAVES, frozenset[str]()),
    "answers": frozenset({"models", "text"}),
    "api": frozenset({"errors", "models", "telemetry"}),
    "audit": frozenset({"errors", "text"}),
    "exporting": frozenset(),
    "telemetry": frozenset({"exporting"}),
    "values": frozenset({"text"}),
    "config": frozenset({"values"}),
    "plan": frozenset({"answers", "api", "models", "text"}),
    "declare": frozenset({"answers", "api", "menu", "plan", "text"}),
    "operations": OPERATION,
    "reports": OPERATION | {"operations"},
    "bulk": OPERATION | {"operations", "reports"},
    "views": frozenset({"menu"}),
    "inventory": frozenset({"bulk", "declare", "operations", "reports"}),
    "menu": frozenset({"text"}),
    "server": OPERATION
    | {"audit", "bulk", "config", "inventory", "logs", "menu", "operations", "reports", "telemetry", "values", "views"},
}
"""The parts, and what of ours each may import. Parts that are not named here (the command line, the tour) stand on top:
they may import everything, and none of these may import them."""

LONGEST = 450

MADE_BY_RUNNING = re.compile(r"/(?:\.(?!ci/|gitignore)|__pycache__/|build/|dist/|node_modules/|[^/]+\.egg-info/)")
"""Folders and files that are not the project's own, where git does not say so."""

# In pieces, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(r"(?<![\w.~${}-])/(?:" + "|".join(("work", "root", "opt", "tmp")) + r")(?:/|\b)(?!-)")
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(host))
        for host in [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com")]
    )
)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(source: str) -> set[str]:
    """The parts of pp_mcp that this source imports, at its top, within functions or for types only."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {name.split(".")[1] for name in names if name.startswith("pp_mcp.")}
    return parts - {"__version__"}


def files() -> list[Path]:
    """Every file of the checkout; outside of one, every file that is not made by running things."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split("\0")
        found = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not MADE_BY_RUNNING.search(f"/{path.relative_to(ROOT)}")]
    return sorted(path for path in found if path.is_file())


def test_imports_go_one_way() -> None:
    wrong: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        part = part_of(path)
        if part in MAY_IMPORT:
            beyond = imported_parts(path.read_text(encoding="utf-8")) - MAY_IMPORT[part] - {part}
            wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in sorted(beyond)]
    assert wrong == []


def test_every_part_of_the_design_is_there() -> None:
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} >= set(MAY_IMPORT)


def test_every_way_of_importing_is_seen() -> None:
    assert imported_parts("import pp_mcp.api.client") == {"api"}
    assert imported_parts("def f():\n    from pp_mcp import contract, __version__") == {"contract"}
    assert imported_parts("from pp_mcp.server.app import build_server\nimport json") == {"server"}
    with pytest.raises(AssertionError):
        imported_parts("from . import x")


def test_files_are_short() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")
    }
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_nothing_names_a_machine_or_a_registry() -> None:
    found: list[str] = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATHS.search(line) or REGISTRIES.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize("folder", ["work", "root", "opt", "tmp"])
def test_machine_paths_are_told_from_others(folder: str) -> None:
    for text in (f"/{folder}/x", f'"/{folder}"', f"cd /{folder}; ls"):
        assert MACHINE_PATHS.search(text), text
    for text in (f"path/{folder}/x", f"./{folder}", f"$HOME/{folder}", f"/{folder}s", f"a{folder}/b"):
        assert not MACHINE_PATHS.search(text), text
