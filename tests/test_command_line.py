"""The command line: the tour, the contract, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pp_mcp import __version__, contract
from pp_mcp.cli import main
from pp_mcp.inventory import ALL_TOOLS

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PP_TENANT", "PP_BASE_URL", "PP_API_TOKEN", "PP_AUDIT_LOG", "PP_TOOLSETS"):
        monkeypatch.delenv(name, raising=False)


def test_the_tour_shows_real_answers_and_one_confirmed_change() -> None:
    shown = CliRunner().invoke(main, ["demo"])
    assert shown.exit_code == 0, shown.output
    text = shown.output
    assert f"serves {len(ALL_TOOLS) - 1} tools" in text
    assert "2 people are called “Sam Lee”" in text
    assert "Not done yet" in text
    assert "Set the due date of" in text
    assert "No overdue assignments" in text
    assert "claude mcp add" in text
    assert text.count("→") > 6


def test_a_demo_tenant_that_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "tenant.db"
    first = CliRunner().invoke(main, ["demo", "--demo-db", str(kept)])
    assert first.exit_code == 0, first.output
    assert kept.stat().st_size > 100_000
    again = CliRunner().invoke(main, ["demo", "--demo-db", str(kept)])
    assert again.exit_code == 0, again.output
    # What the first tour put off is not overdue any more.
    assert "Not done yet" in first.output
    assert "Not done yet" not in again.output
    assert "Nothing was sent" in again.output


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["serve", "--strict"], {}, ["PP_TENANT", "PP_API_TOKEN"]),
        (["serve"], {"PP_TENANT": "a b", "PP_TIMEOUT": "-1"}, ["PP_TENANT", "PP_API_TOKEN", "PP_TIMEOUT"]),
        (["serve", "--demo", "--transport", "http", "--host", "0.0.0.0"], {}, ["0.0.0.0", "127.0.0.1"]),
        (["serve", "--demo", "--tools", "list_userz"], {}, ["list_userz", "list_users"]),
        (["serve", "--demo"], {"PP_AUDIT_LOG": "/no/such/folder/log"}, ["PP_AUDIT_LOG"]),
        (["serve", "--demo", "--tenant", "acme"], {}, ["--demo"]),
        (["serve", "--demo-db", "x.db"], {}, ["--demo-db"]),
        (["contract"], {}, ["--write", "--check"]),
    ],
)
def test_what_is_wrong_is_said_on_stderr(arguments: list[str], settings: dict[str, str], words: list[str]) -> None:
    ended = CliRunner().invoke(main, arguments, env=settings)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    for word in words:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for name in (*contract.TABLES, "server.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    contract.write(tmp_path)
    return tmp_path


def test_the_contract_is_checked_and_written(checkout: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(main, ["contract", "--root", str(checkout), *arguments])
        return ended.exit_code, ended.output

    assert run("--check") == (0, "")
    tool = checkout / "tools" / "list_users.json"
    text = tool.read_text()
    tool.write_text(text.replace("people", "persons"))
    (checkout / "tools" / "no_tool.json").write_text("{}")
    readme = checkout / "README.md"
    readme.write_text(readme.read_text().replace("| `list_users` |", "| `list_persons` |"))
    code, said = run("--check")
    assert code == 1
    for name in ("list_users.json", "no_tool.json", "README.md"):
        assert name in said
    assert run("--write")[0] == 0
    assert run("--check") == (0, "")
    assert tool.read_text() == text
    assert json.loads(text)["name"] == "list_users"


def test_a_readme_without_a_place_for_the_table(checkout: Path) -> None:
    (checkout / "README.md").write_text("nothing here")
    ended = CliRunner().invoke(main, ["contract", "--check", "--root", str(checkout)])
    assert ended.exit_code == 2
    assert "README.md" in ended.output


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["serve", "--strict"], {}, "PP_API_TOKEN"),
        (["serve", "--strict"], {}, "PP_TENANT"),
        ([], {"PP_TIMEOUT": "soon"}, "PP_TENANT"),
        (["serve", "--tools", "list_user"], {"PP_TENANT": "a", "PP_API_TOKEN": "pp_x"}, "did you mean list_users"),
        (["serve", "--tools", "create_api_token"], {"PP_TENANT": "a", "PP_API_TOKEN": "pp_x"}, "toolset tokens"),
        (["serve"], {"PP_TENANT": "a", "PP_API_TOKEN": "pp_x", "PP_ROUTES": '{"x": "GET /y"}'}, "PP_ROUTES"),
        (["serve"], {"PP_TENANT": "a", "PP_API_TOKEN": "pp_x", "PP_AUDIT_LOG": "/no/such/dir/x"}, "PP_AUDIT_LOG"),
        (["serve", "--demo", "--transport", "http", "--host", "192.168.1.5"], {}, "192.168.1.5"),
        (["serve", "--demo", "--base-url", "https://x.example"], {}, "--demo"),
        (["contract"], {}, "--write or --check"),
    ],
)
def test_what_is_refused_says_what_to_do(
    arguments: list[str], settings: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2, ended.output
    assert words in ended.output
