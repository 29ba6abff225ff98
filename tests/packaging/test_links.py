"""The pages' links: what they lead to inside the checkout is there, headings included."""

from __future__ import annotations

import re
import runpy
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tools" / "README.md"])


def tokens(text: str) -> list[Token]:
    found: list[Token] = []
    for token in MarkdownIt().enable("table").parse(text):
        found += [token, *(token.children or [])]
    return found


def links(text: str) -> list[str]:
    """Where the links and pictures of a page lead."""
    return [
        str(token.attrs.get("href") or token.attrs.get("src"))
        for token in tokens(text)
        if token.type in ("link_open", "image")
    ]


def anchors(text: str) -> set[str]:
    """The headings of a page, as links name them."""
    parts = tokens(text)
    titles = [part.content for before, part in pairwise(parts) if before.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def broken(page: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong: list[str] = []
    for link in links(text):
        parts = urlsplit(link)
        if parts.scheme:
            fine = parts.scheme in ("https", "mailto")
        else:
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            fine = target.is_relative_to(ROOT) and target.exists()
            if fine and parts.fragment:
                fine = parts.fragment in anchors(text if target == page else target.read_text(encoding="utf-8"))
        if not fine:
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_links_that_lead_nowhere_are_seen() -> None:
    text = """\
# A title: `code`
[here](#a-title-code) [not here](#a-title) [a page](LICENSE) [no page](docs/none.md) [beyond](../x) ![picture](no.png)

| a | b |
| --- | --- |
| [in a table](none.md) | [another's heading](SECURITY.md#none) |

```text
[no link](none.md)
```
[unsafe](http://example.com)
"""
    page = ROOT / "README.md"
    found = broken(page, text)
    assert found == ["#a-title", "docs/none.md", "../x", "no.png", "none.md", "SECURITY.md#none", "http://example.com"]


def test_the_readme_leads_to_the_pages_and_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert {"LICENSE", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/settings.md"} <= set(links(text))


def test_the_site_has_every_page_and_its_links_lead_to_pages(tmp_path: Path) -> None:
    runpy.run_path(str(ROOT / "docs" / "site.py"))["lay_out"](tmp_path / "pages")
    pages = {path.relative_to(tmp_path / "pages").as_posix() for path in tmp_path.rglob("*.md")}
    assert len(pages) == len(PAGES) - 1, "all but tools/README.md, which stays in the repository"
    for name in pages:
        for link in links((tmp_path / "pages" / name).read_text(encoding="utf-8")):
            there = (tmp_path / "pages" / urlsplit(link).path).is_file()
            assert there or link.startswith(("https://", "#")), f"{name}: {link}"
