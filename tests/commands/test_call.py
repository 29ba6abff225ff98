"""`pp-mcp call` and `pp-mcp tools`: what they take, show, ask and end with."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import click
import httpx2
import pytest
from click.testing import CliRunner, Result
from stage import Stage, make_server

from pp_mcp.cli import main
from pp_mcp.commands import call as call_module
from pp_mcp.commands.call import ShellCall, arguments_of
from pp_mcp.inventory import ALL_TOOLS, BY_NAME

SIZES = ("--people", "40", "--assignments", "120")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PP_TENANT", "PP_BASE_URL", "PP_API_TOKEN", "PP_ROUTES", "PP_TOOLSETS", "PP_CONFIRM", "PP_AUDIT_LOG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A demo tenant in a file."""
    return tmp_path / "tenant.db"


def run(*arguments: str, db: Path | None = None, typed: str | None = None) -> Result:
    return CliRunner().invoke(
        main, ["call", *arguments, "--demo", *SIZES, *(("--demo-db", str(db)) if db else ())], input=typed
    )


def sql(db: Path, query: str, *values: Any) -> Any:
    with closing(sqlite3.connect(db)) as connection:
        found = connection.execute(query, values).fetchone()
        return found[0] if found else None


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "_has_terminal", lambda: True)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "words", "given"),
    [
        ("list_users", ("search=jane doe", "is_active=true"), {"search": "jane doe", "is_active": "true"}),
        ("list_users", ("search=a=b",), {"search": "a=b"}),
        ("list_users", ("role=", "admin", "search=x"), {"role": "admin", "search": "x"}),
        ("list_users", ("role=", "search=x"), {"search": "x"}),
        ("report_assignments", ("group_by=manager, state",), {"group_by": ["manager", "state"]}),
        ("report_assignments", ("group_by=manager", "group_by=state"), {"group_by": ["manager", "state"]}),
        ("report_assignments", ('group_by=["user"]', "group_by=state"), {"group_by": ["user", "state"]}),
        ("report_assignments", ('content_item=["A, B", "C"]',), {"content_item": ["A, B", "C"]}),
        ("get_user", ("no_such=x",), {"no_such": "x"}),
    ],
)
def test_words_become_arguments(tool: str, words: tuple[str, ...], given: dict[str, Any]) -> None:
    assert arguments_of(BY_NAME[tool], words) == given


@pytest.mark.parametrize(
    ("tool", "words", "complaint"),
    [
        ("list_users", ("jane",), "'jane' is not of the form key=value"),
        ("list_users", ("search=a", "search=b"), "search is given twice"),
        ("report_assignments", ('group_by=["user"',), "is not a list in JSON"),
        ("list_users", ("search=a", "b"), "'b' is not of the form"),
    ],
)
def test_words_that_are_wrong(tool: str, words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(click.UsageError, match=complaint):
        arguments_of(BY_NAME[tool], words)


# --- reads ----------------------------------------------------------------------------------------------------------


def test_a_list_as_a_table() -> None:
    shown = run("list_users", "role=admin", "page_size=2")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("People 1-2 of")
    assert re.match(r"public_id +name +email +role", lines[1])
    assert len(lines) == 4


def test_one_thing_field_by_field() -> None:
    shown = run("get_user", "user=jane.doe@acme.example")
    assert re.search(r"^email +jane\.doe@acme\.example *$", shown.stdout, re.M)


def test_a_report_and_its_rows() -> None:
    shown = run("report_assignments", "group_by=state")
    assert re.search(r"^completed +\d+", shown.stdout, re.M)


def test_json_is_the_answer() -> None:
    answer = json.loads(run("list_users", "search=jane doe", "--json").stdout)
    assert answer["total_count"] == 1
    assert answer["items"][0]["email"] == "jane.doe@acme.example"


def test_csv_has_every_row(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    shown = run("list_users", "is_active=true", "page_size=1", "--csv", str(file))
    assert shown.exit_code == 0, shown.output
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert len(rows) > 25
    assert {row["is_active"] for row in rows} == {"true"}
    assert b"\r\r" not in file.read_bytes()


def test_html_is_a_page_with_the_answer_inside(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    shown = run("report_assignments", "group_by=user", "is_overdue=true", "--html", str(file))
    assert (shown.exit_code, shown.stdout) == (0, f"Written: {file}\n"), shown.output
    (held,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', file.read_text(encoding="utf-8"))
    page = json.loads(held)
    assert page["tool"] == "report_assignments"
    assert page["given"] == {"top": 100, "group_by": ["user"], "is_overdue": "true"}
    assert page["data"]["rows"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["get_user", "user=Nobody Atall"], 1, "Nobody Atall"),
        (["get_user"], 1, "user: is required"),
        (["list_users", "serach=x"], 1, "did you mean search?"),
        (["list_user"], 2, "did you mean list_users?"),
        (["list_users", "x"], 2, "key=value"),
        (["get_user", "user=x", "--csv", "x.csv"], 2, "lists and reports"),
        (["list_users", "--html", "x.html"], 2, "reports"),
        (["report_content", "--html", "x.html", "--csv", "x.csv"], 2, "either"),
        (["report_content", "content_type=film", "--html", "x.html"], 1, "content_type"),
        (["list_users", "page_size=x", "--csv", "x.csv"], 0, ""),
        (["list_users", "role=pope", "--csv", "x.csv"], 1, "role"),
        (["create_api_token", "name=x"], 1, "PP_TOOLSETS"),
    ],
)
def test_what_goes_wrong_is_on_stderr(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(*arguments)
    assert shown.exit_code == code, shown.output
    assert words in shown.stderr
    if code:
        assert shown.stdout == ""
        assert list(tmp_path.iterdir()) == []


def test_an_audit_log_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PP_AUDIT_LOG", "/no/such/folder/log")
    shown = run("list_users")
    assert shown.exit_code == 2
    assert "PP_AUDIT_LOG" in shown.stderr


def test_without_settings() -> None:
    shown = CliRunner().invoke(main, ["call", "list_users"])
    assert shown.exit_code == 2
    assert "PP_API_TOKEN" in shown.stderr


# --- writes ---------------------------------------------------------------------------------------------------------

DROP = "SELECT public_id FROM assignments WHERE state = 'not_started' AND id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
STATE = "SELECT state FROM assignments WHERE public_id = ?"


def assignment(db: Path) -> str:
    run("list_groups", db=db)
    return sql(db, DROP)


def test_a_write_that_needs_no_confirming_and_its_undo(kept: Path) -> None:
    given = assignment(kept)
    shown = run("complete_assignment", f"assignment={given}", db=kept)
    assert shown.exit_code == 0, shown.output
    assert sql(kept, STATE, given) == "completed"
    assert re.search(r"state: not_started → completed", shown.stdout)
    (undo,) = (
        line.partition("Undo: pp-mcp call ")[2] for line in shown.stdout.splitlines() if line.startswith("Undo: ")
    )
    assert run(*shlex.split(undo), "--yes", db=kept).exit_code == 0
    assert sql(kept, STATE, given) == "not_started"


def test_a_preview_without_a_terminal(kept: Path) -> None:
    given = assignment(kept)
    shown = run("drop_assignment", f"assignment={given}", db=kept, typed="y\n")
    assert shown.exit_code == 3
    assert shown.stdout == ""
    assert "Not done yet." in shown.stderr
    assert "--yes" in shown.stderr
    assert "confirm_token" not in shown.stderr
    assert "This cannot be undone." in shown.stderr
    assert sql(kept, STATE, given) == "not_started"
    assert run("drop_assignment", f"assignment={given}", "--yes", db=kept).exit_code == 0
    assert sql(kept, STATE, given) == "dropped"


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("typed", "code", "state"), [("y\n", 0, "dropped"), ("n\n", 3, "not_started"), ("", 3, "not_started")]
)
def test_a_preview_on_a_terminal(typed: str, code: int, state: str, kept: Path) -> None:
    given = assignment(kept)
    shown = run("drop_assignment", f"assignment={given}", db=kept, typed=typed)
    assert shown.exit_code == code, shown.output
    assert "Go ahead?" in shown.stderr
    assert sql(kept, STATE, given) == state


def test_flags_that_a_preview_needs_are_given_with_a_yes(kept: Path) -> None:
    assignment(kept)
    group = sql(kept, "SELECT public_id FROM groups WHERE source = 'plusplus'")
    shown = run("replace_group_members", f"group={group}", "members=jane.doe@acme.example", "--yes", db=kept)
    assert shown.exit_code == 0, shown.output
    assert (
        sql(
            kept, "SELECT count(*) FROM group_members m JOIN groups g ON g.id = m.group_id WHERE g.public_id = ?", group
        )
        == 1
    )


def person(given: str, db: Path, *more: str, typed: str = "") -> Result:
    return run("drop_assignment", f"assignment={given}", "--confirm", "person", *more, db=db, typed=typed)


def test_a_person_has_to_type_the_answer(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = assignment(kept)
    for more in ((), ("--yes",)):
        shown = person(given, kept, *more, typed="y\n")
        assert shown.exit_code == 1
        assert "PP_CONFIRM=person" in shown.stderr
    monkeypatch.setattr(call_module, "_has_terminal", lambda: True)
    for typed in ("n\n", ""):
        assert person(given, kept, "--yes", typed=typed).exit_code == 3
    assert sql(kept, STATE, given) == "not_started"
    assert person(given, kept, "--yes", typed="y\n").exit_code == 0
    assert sql(kept, STATE, given) == "dropped"


def through(stage: Stage, tool: str, *words: str, as_json: bool = False) -> int:
    """The exit code of a call with --yes, over the stage's network and clock."""
    server = make_server(stage.tenant, transport=stage.network, clock=stage.clock)
    shell = ShellCall(server, yes=True, as_json=as_json)
    return anyio.run(shell.run, BY_NAME[tool], arguments_of(BY_NAME[tool], words))


def outstanding(stage: Stage, count: int) -> list[str]:
    query = DROP.replace("public_id FROM", "public_id FROM", 1).replace(
        "= 'not_started'", "IN ('not_started', 'in_progress')"
    )
    return stage.column(f"{query} ORDER BY id LIMIT {count}")


def test_a_long_run_goes_on_by_itself(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    ids = outstanding(stage, 70)

    def slowly(request: httpx2.Request, _: int) -> None:
        stage.clock.time += 0.0 if request.method == "GET" else 1.0

    stage.network.before = slowly
    code = through(stage, "bulk_update_assignments", "action=complete", f"assignments={','.join(ids)}", as_json=True)
    parts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert len(parts) > 1
    assert sum(one["succeeded"] for one in parts) == len(ids) == len(stage.writes())
    assert "continue" not in parts[-1]


def test_some_of_many_fail(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    ids = outstanding(stage, 3)

    def without_one(request: httpx2.Request, _: int) -> httpx2.Response | None:
        return httpx2.Response(403) if request.url.path.endswith(f"{ids[1]}/complete") else None

    stage.network.before = without_one
    assert through(stage, "bulk_update_assignments", "action=complete", f"assignments={','.join(ids)}") == 4
    assert re.search(rf"^{ids[1]} .* failed", capsys.readouterr().out, re.M)
    assert [stage.state(one) for one in ids].count("completed") == 2


@pytest.mark.parametrize(
    ("status", "code", "words"), [(403, 1, "Nothing was changed"), (500, 4, "may have happened or not")]
)
def test_a_write_that_fails_and_one_whose_outcome_nobody_knows(
    status: int, code: int, words: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.network.before = lambda request, _: httpx2.Response(status) if request.method == "POST" else None
    assert through(stage, "complete_assignment", f"assignment={stage.assignment('not_started')}") == code
    assert words in capsys.readouterr().err.replace("\n", " ")


def test_what_changed_since_the_preview_is_not_done(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    given = stage.assignment("not_started")

    def meanwhile(request: httpx2.Request, number: int) -> None:
        stage.change("UPDATE assignments SET due_date = ? WHERE public_id = ?", f"2031-01-{number:02}", given)

    stage.network.before = meanwhile
    assert through(stage, "drop_assignment", f"assignment={given}") == 3
    assert "Something changed meanwhile" in capsys.readouterr().err
    assert stage.writes() == []


# --- a real terminal ------------------------------------------------------------------------------------------------


def test_the_answer_is_typed_at_a_real_terminal(kept: Path) -> None:
    given = assignment(kept)
    main_end, end = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "pp_mcp",
        "call",
        "drop_assignment",
        f"assignment={given}",
        "--confirm=person",
        "--demo",
        "--demo-db",
        str(kept),
    ]
    process = subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, env={**os.environ, "TERM": "xterm"}, close_fds=True
    )
    os.close(end)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(main_end, 4096)
    os.write(main_end, b"y\n")
    assert process.wait(30) == 0
    os.close(main_end)
    assert sql(kept, STATE, given) == "dropped"


# --- completing -----------------------------------------------------------------------------------------------------


def completed(shell: str, *words: str, incomplete: str) -> list[str]:
    line = shlex.join(["pp-mcp", *words, *([incomplete] if incomplete else [])])
    settings = {
        "_PP_MCP_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": incomplete if shell == "fish" else str(len(words) + 1),
    }
    shown = CliRunner().invoke(main, [], prog_name="pp-mcp", env=settings)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    return lines[1::3] if shell == "zsh" else [re.split("[,\t]", line)[1] for line in lines if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "call" in completed(shell, incomplete="ca")
    assert completed(shell, "call", incomplete="list_us") == ["list_users"]
    assert set(completed(shell, "call", incomplete="")) == {tool.name for tool in ALL_TOOLS}
    assert completed(shell, "call", "list_users", incomplete="is_") == ["is_active="]
    assert "confirm_token=" not in completed(shell, "call", "drop_assignment", incomplete="")
    assert completed(shell, "call", "list_users", incomplete="is_active=t") == ["is_active=true"]
    assert completed(shell, "call", "list_users", "is_active=", incomplete="") == ["true", "false"]
    assert completed(shell, "call", "report_assignments", "is_active=true", incomplete="group_by=man") == [
        "group_by=manager"
    ]
    assert completed(shell, "call", "no_such_tool", incomplete="x") == []


def test_bash_takes_the_equals_sign_for_a_word() -> None:
    assert completed("bash", "call", "list_users", "is_active", "=", incomplete="t") == ["true"]
    assert completed("bash", "call", "list_users", "is_active", incomplete="=") == ["true", "false"]
    assert "search=" in completed("bash", "call", "list_users", "is_active", "=", "true", incomplete="s")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    shown = CliRunner().invoke(main, [], prog_name="pp-mcp", env={"_PP_MCP_COMPLETE": f"{shell}_source"})
    assert shown.exit_code == 0
    assert f"_PP_MCP_COMPLETE={shell}_complete" in shown.stdout


# --- the menu -------------------------------------------------------------------------------------------------------


def menu(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(CliRunner().invoke(main, ["tools", "--json", *arguments]).stdout)


def test_the_menu() -> None:
    shown = CliRunner().invoke(main, ["tools"])
    assert shown.exit_code == 0
    assert re.search(r"^drop_assignment +assignments +destroy +always +\d{3}  ", shown.stdout, re.M)
    assert re.search(r"^list_users +users +read +no +\d+  ", shown.stdout, re.M)
    assert len(menu("--toolsets", "all")) == len(ALL_TOOLS)
    assert {one["effect"] for one in menu("--read-only")} == {"read"}
    assert [one["tool"] for one in menu("--tools", "get_user,list_users")] == ["get_user", "list_users"]
    for one in menu():
        tool = BY_NAME[one["tool"]]
        text = json.dumps(
            {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        assert one["size"] == len(text)
