"""The files that are written from the code: tools/, and what the pages and server.json say of tools and settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pp_mcp import contract
from pp_mcp.cli import main
from pp_mcp.config import Settings
from pp_mcp.inventory import ALL_TOOLS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout's part that the contract writes, up to date."""
    (tmp_path / "docs").mkdir()
    for name in (*contract.TABLES, "server.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    contract.write(tmp_path)
    return tmp_path


def pp_mcp(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_committed_contract_is_what_the_code_writes() -> None:
    assert contract.differences(ROOT) == {}, "run: pp-mcp contract --write"


def test_every_tool_has_a_file(copy: Path) -> None:
    written = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (copy / "tools").glob("*.json")}
    assert written == {tool.name: contract.tool_definition(tool) for tool in ALL_TOOLS}


def test_the_pages_name_every_tool_and_setting(copy: Path) -> None:
    readme = (copy / "README.md").read_text(encoding="utf-8")
    page = (copy / "docs/settings.md").read_text(encoding="utf-8")
    tools = readme.partition("<!-- tools -->")[2].partition("<!-- /tools -->")[0]
    settings = page.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    assert all(f"| `{tool.name}` |" in tools for tool in ALL_TOOLS)
    assert all(f"| `PP_{name.upper()}` | " in settings for name in Settings.model_fields)
    assert len({line.replace("\\|", "").count("|") for line in settings.strip().splitlines()}) == 1


def test_the_readme_counts_the_tools(copy: Path) -> None:
    readme = copy / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert f"all {len(ALL_TOOLS)} tools" in text
    assert f"serves {len(ALL_TOOLS) - 1} tools" in text
    readme.write_text(text.replace(f"all {len(ALL_TOOLS)} tools", "all 7 tools"), encoding="utf-8")
    assert contract.write(copy) == {readme: "written"}
    assert readme.read_text(encoding="utf-8") == text


def test_writing_twice_changes_nothing(copy: Path) -> None:
    assert contract.write(copy) == {}


def test_check_names_what_is_stale_missing_and_left_over(copy: Path) -> None:
    (copy / "tools" / "get_user.json").write_text("{}", encoding="utf-8")
    (copy / "pp_mcp" / "menu.json").write_text("{}", encoding="utf-8")
    (copy / "tools" / "list_users.json").unlink()
    (copy / "tools" / "gone_tool.json").write_text("{}", encoding="utf-8")
    server = json.loads((copy / "server.json").read_text(encoding="utf-8"))
    server["packages"][0]["environmentVariables"].pop()
    (copy / "server.json").write_text(json.dumps(server), encoding="utf-8")
    checked = pp_mcp("contract", "--check", "--root", copy)
    assert checked.exit_code == 1
    assert sorted(checked.stdout.splitlines()) == [
        "pp_mcp/menu.json is out of date",
        "server.json is out of date",
        "tools/get_user.json is out of date",
        "tools/gone_tool.json belongs to no tool",
        "tools/list_users.json is missing",
    ]
    assert "contract --write" in checked.stderr
    written = pp_mcp("contract", "--write", "--root", copy)
    assert written.exit_code == 0
    assert sorted(written.stdout.splitlines()) == [
        "removed: tools/gone_tool.json",
        "written: pp_mcp/menu.json",
        "written: server.json",
        "written: tools/get_user.json",
        "written: tools/list_users.json",
    ]
    assert pp_mcp("contract", "--check", "--root", copy).exit_code == 0


def test_what_is_written_by_hand_stays(copy: Path) -> None:
    server = json.loads((copy / "server.json").read_text(encoding="utf-8"))
    server["title"] = "Written by hand"
    server["packages"].append({"registryType": "mcpb", "identifier": "a file"})
    (copy / "server.json").write_text(json.dumps(server), encoding="utf-8")
    readme = copy / "README.md"
    readme.write_text("Before\n" + readme.read_text(encoding="utf-8") + "\nafter\n", encoding="utf-8")
    contract.write(copy)
    now = json.loads((copy / "server.json").read_text(encoding="utf-8"))
    assert (now["title"], now["packages"][1]["identifier"]) == ("Written by hand", "a file")
    assert now["packages"][1]["environmentVariables"] == contract.environment_variables()
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("Before\n")
    assert text.endswith("\nafter\n")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("README.md", "no marks", "<!-- tools -->"),
        ("docs/settings.md", "<!-- settings -->", "<!-- /settings -->"),
        ("server.json", "no JSON", "server.json"),
        ("server.json", "[]", "server.json"),
        ("server.json", '{"packages": [1]}', "server.json"),
        ("server.json", "{}", "server.json"),
    ],
)
def test_files_that_cannot_be_filled_are_named(copy: Path, file: str, text: str, said: str) -> None:
    (copy / file).write_text(text, encoding="utf-8")
    for what in ("--write", "--check"):
        found = pp_mcp("contract", what, "--root", copy)
        assert found.exit_code == 2
        assert said in found.stderr
        assert "Traceback" not in found.output
    assert (copy / file).read_text(encoding="utf-8") == text


def test_a_checkout_without_the_files_is_said_so(tmp_path: Path) -> None:
    found = pp_mcp("contract", "--check", "--root", tmp_path)
    assert found.exit_code == 2
    assert "README.md" in found.stderr


@pytest.mark.parametrize("both", [[], ["--write", "--check"]])
def test_one_of_writing_and_checking_is_asked_for(both: list[str]) -> None:
    assert pp_mcp("contract", *both).exit_code == 2
