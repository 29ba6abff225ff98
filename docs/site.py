"""`python docs/site.py FOLDER`: the pages as a static site, by Zensical (`pip install -c constraints.txt '.[docs]'`).

The README is its home, and the other pages of the checkout's top stand beside those of docs/. Links to other files
lead to the repository. A link that leads nowhere ends the build with exit code 1.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/pp-mcp/pp-mcp/blob/main"
TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
}
"""The pages of the checkout's top, and their names in the site."""

SETTINGS = """\
[project]
site_name = "pp-mcp"
site_description = "An MCP server for the PlusPlus Public API v2"
copyright = "Apache 2.0, the pp-mcp authors"
docs_dir = "pages"
site_dir = "site"

[project.theme]
font = false
features = ["content.code.copy", "navigation.top", "toc.follow", "search.highlight"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
"""


def with_links_of_the_site(text: str, folder: Path) -> str:
    """A page of that folder with its links as they are in the site."""

    def link(found: re.Match[str]) -> str:
        path, mark, anchor = found[1].partition("#")
        if not path or ":" in path:
            return found[0]
        name = (folder / path).resolve().relative_to(ROOT).as_posix()
        if name in TOP:
            name = TOP[name]
        elif name.startswith("docs/"):
            name = name.removeprefix("docs/")
        else:
            name = f"{REPOSITORY}/{name}"
        return f"]({name}{mark}{anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", link, text)


def lay_out(pages: Path) -> None:
    """Puts all pages, and the pictures in docs/, into a folder."""
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.md", "*.py", "__pycache__"))
    sources = {ROOT / name: page for name, page in TOP.items()}
    sources |= {page: page.relative_to(ROOT / "docs").as_posix() for page in sorted(ROOT.glob("docs/**/*.md"))}
    for source, page in sources.items():
        text = with_links_of_the_site(source.read_text(encoding="utf-8"), source.parent)
        (pages / page).parent.mkdir(parents=True, exist_ok=True)
        (pages / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(folder / "pages")
        (folder / "zensical.toml").write_text(SETTINGS, encoding="utf-8")
        built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder)
        if built.returncode == 0:
            shutil.copytree(folder / "site", sys.argv[1], dirs_exist_ok=True)
        sys.exit(built.returncode)
