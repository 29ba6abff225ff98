"""`pp-mcp init`: what it writes into the clients' settings, and what it leaves alone."""

from __future__ import annotations

import json
import shlex
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pp_mcp.cli import main
from pp_mcp.commands.clients import BY_NAME, CLIENTS, ClientApp, Launch
from pp_mcp.commands.init import planned
from pp_mcp.config import load
from pp_mcp.errors import Refused

PROGRAM = "/home/me and you/bin/pp-mcp"
JSON_CLIENTS = [client for client in CLIENTS if not client.is_toml]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any client, and no settings of this server."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("XDG_CONFIG_HOME", "PP_TENANT", "PP_BASE_URL", "PP_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", [PROGRAM])
    return home


def init(*words: str, answers: str | None = None) -> Result:
    return CliRunner().invoke(main, ["init", *words], input=answers)


def put(client: ClientApp, text: str) -> Path:
    client.file.parent.mkdir(parents=True, exist_ok=True)
    client.file.write_bytes(text.encode())
    return client.file


def settings_of(client: ClientApp) -> dict[str, Any]:
    text = client.file.read_text(encoding="utf-8")
    return tomllib.loads(text) if client.is_toml else json.loads(text)


def backups(client: ClientApp) -> list[Path]:
    return sorted(client.file.parent.glob(f"{client.file.name}.*.bak"))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda one: one.name)
def test_every_client_is_connected_to_the_demo(client: ClientApp) -> None:
    done = init(client.name, "--demo", "--yes")
    assert done.exit_code == 0, done.output
    entry = settings_of(client)[client.section]["plusplus-demo"]
    assert (entry["command"], entry["args"], "env" in entry) == (PROGRAM, ["serve", "--demo"], False)
    assert f"+++ {client.file}" in done.output
    assert backups(client) == []


@pytest.mark.parametrize("client", CLIENTS, ids=lambda one: one.name)
def test_every_client_is_connected_to_a_tenant_without_a_token_in_sight(
    client: ClientApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PP_API_TOKEN", "pp_very_secret")
    done = init(client.name, "--tenant", "Acme", "--yes")
    assert done.exit_code == 0, done.output
    entry = settings_of(client)[client.section]["plusplus"]
    held = "pp_very_secret" if client.name == "claude-desktop" else client.token
    assert entry["env"] == {"PP_TENANT": "acme", **({} if client.is_toml else {"PP_API_TOKEN": held})}
    assert "pp_very_secret" not in done.output
    assert ("takes the token from PP_API_TOKEN" in done.output) == (client.name not in ("claude-desktop", "vscode"))
    if client.is_toml:
        assert entry["env_vars"] == ["PP_API_TOKEN"]
    if client.name == "vscode":
        assert [one["id"] for one in settings_of(client)["inputs"]] == ["plusplus-token"]
    if client.name == "claude-desktop":
        assert stat.S_IMODE(client.file.stat().st_mode) == 0o600
    again = init(client.name, "--tenant", "acme", "--yes")
    assert (again.exit_code, "connected already" in again.output, backups(client)) == (0, True, [])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (
            '{\n    "b": [1, 2],\n    "mcpServers": {"x": {"command": "y", "args": ["1"]}}\n}\n',
            '{"command": "y", "args": ["1"]}',
        ),
        ('{"projects": {"p": {"mcpServers": {}}}, "mcpServers": {}, "z": 1.50}', '"z": 1.50}'),
        ('{"text": "\\"mcpServers\\": {", "e": "\\u00e9\\ud800"}', '"e": "\\u00e9\\ud800"}'),
        (
            '\t{\n\t"mcpServers" :\n\t{ },\n\t"inputs": [\n\t\t{"id": "a"}\n\t]\n}',
            '"inputs": [\n\t\t{"id": "a"}\n\t]\n}',
        ),
        ('{\r\n  "a": 1\r\n}\r\n', '"a": 1\r\n}\r\n'),
        ("  \n", ""),
        ("{}", ""),
    ],
)
@pytest.mark.parametrize("client", JSON_CLIENTS, ids=lambda one: one.name)
def test_what_stands_in_json_stays_as_it_is_written(client: ClientApp, text: str, same: str) -> None:
    text = text.replace("mcpServers", client.section)
    put(client, text)
    before = json.loads(text) if text.strip() else {}
    assert init(client.name, "--demo", "--yes").exit_code == 0
    now = settings_of(client)
    assert now[client.section].pop("plusplus-demo")["command"] == PROGRAM
    assert now == {client.section: {}} | before
    after = client.file.read_bytes().decode()
    assert same.replace("mcpServers", client.section) in after
    assert after.replace("\r\n", "").count("\n") * after.count("\r\n") == 0
    (backup,) = backups(client)
    assert backup.read_bytes() == text.encode()


def test_what_stands_in_toml_stays_as_it_is_written() -> None:
    codex = BY_NAME["codex"]
    text = '# mine\nmodel = "x" # why\n\n[mcp_servers.other]\ncommand = "y"\n'
    put(codex, text)
    assert init("codex", "--tenant", "acme", "--yes").exit_code == 0
    assert codex.file.read_text(encoding="utf-8").startswith(text + "\n[mcp_servers.plusplus]\n")
    assert set(settings_of(codex)["mcp_servers"]) == {"other", "plusplus"}


def test_vs_code_keeps_what_it_asks_for_already() -> None:
    code = BY_NAME["vscode"]
    put(code, '{"inputs": [{"id": "a"}], "servers": {}}')
    assert init("vscode", "--tenant", "acme", "--yes").exit_code == 0
    assert [one["id"] for one in settings_of(code)["inputs"]] == ["plusplus-token", "a"]


@pytest.mark.parametrize("name", ["cursor", "vscode", "codex"])
@pytest.mark.parametrize(
    "text",
    [
        "{ // a comment\n}",
        "[1, 2]",
        '"text"',
        "null",
        "\ufeff{}",
        '{"SECTION": null}',
        '{"SECTION": [1]}',
        '{"SECTION": "x"}',
        '{"a": 1, "a": 2}',
        '{"SECTION": {}, "inputs": {}}',
        '{"SECTION": {}, "inputs": null}',
        "SECTION = 1\n",
        "SECTION = { other = { command = 'x' } }\n",
        "[SECTION",
        "[SECTION.plusplus]\ncommand = 'mine'\n",
        '{"SECTION": {"plusplus": {"url": "https://mine.example"}}}',
        "\udcff",
    ],
)
def test_what_is_not_understood_is_left_alone(name: str, text: str) -> None:
    client = BY_NAME[name]
    raw = text.replace("SECTION", client.section).encode("utf-8", "surrogateescape")
    if name != "vscode" and '"inputs"' in text:
        raw = b"{"
    put(client, "")
    client.file.write_bytes(raw)
    done = init(name, "--tenant", "acme", "--yes")
    assert done.exit_code == 1, done.output
    assert "left alone" in done.output
    assert client.file.read_bytes() == raw
    assert [path.name for path in client.file.parent.iterdir()] == [client.file.name]


def test_a_folder_in_the_place_of_the_settings_is_left_alone() -> None:
    BY_NAME["cursor"].file.mkdir(parents=True)
    assert init("cursor", "--demo", "--yes").exit_code == 1


def test_every_client_that_is_found_is_asked_about(home: Path) -> None:
    for client in CLIENTS[:3]:
        put(client, "{}")
    done = init("--demo", answers="y\nn\ny\n")
    assert done.exit_code == 0, done.output
    assert ["plusplus-demo" in client.file.read_text() for client in CLIENTS[:3]] == [True, False, True]
    assert "Not changed." in done.output
    assert not any(client.file.exists() for client in CLIENTS[3:])


def test_one_that_is_left_alone_does_not_stop_the_others() -> None:
    put(BY_NAME["claude-desktop"], "not JSON")
    put(BY_NAME["gemini-cli"], "{}")
    done = init("--demo", "--yes")
    assert done.exit_code == 1
    assert "plusplus-demo" in settings_of(BY_NAME["gemini-cli"])["mcpServers"]


def test_nothing_is_changed_without_anybody_to_ask() -> None:
    file = put(BY_NAME["cursor"], "{}")
    done = init("--demo", answers="")
    assert (done.exit_code, "--yes" in done.output, file.read_text()) == (2, True, "{}")


def test_without_a_client_it_says_what_to_do() -> None:
    done = init("--demo")
    assert (done.exit_code, "--print" in done.output) == (2, True)


def test_tenant_and_token_are_asked_for() -> None:
    put(BY_NAME["claude-desktop"], "")
    done = init(answers="acme\npp_typed\ny\n")
    assert done.exit_code == 0, done.output
    assert "pp_typed" not in done.output
    env = settings_of(BY_NAME["claude-desktop"])["mcpServers"]["plusplus"]["env"]
    assert env == {"PP_TENANT": "acme", "PP_API_TOKEN": "pp_typed"}


@pytest.mark.parametrize(
    ("words", "answers", "said"),
    [
        (["--tenant", "a b"], None, "PP_TENANT"),
        (["--base-url", "http://acme.example/x"], None, "PP_BASE_URL"),
        ([], "a b\n", "PP_TENANT"),
        ([], "", "--tenant"),
        (["--tenant", "acme"], "with space\n", "PP_API_TOKEN"),
        (["--tenant", "acme"], "", "PP_API_TOKEN"),
        (["--demo", "--tenant", "acme"], None, "--demo"),
        (["no-client"], None, "claude-desktop"),
    ],
)
def test_what_cannot_work_is_said(words: list[str], answers: str | None, said: str) -> None:
    file = put(BY_NAME["claude-desktop"], "{}")
    done = init(*words, "--yes", answers=answers)
    assert (done.exit_code, said in done.output, file.read_text()) == (2, True, "{}"), done.output


def test_an_address_of_ones_own() -> None:
    url = "https://learn.example.com/public_api/v2"
    assert init("cursor", "--base-url", url, "--yes").exit_code == 0
    assert settings_of(BY_NAME["cursor"])["mcpServers"]["plusplus"]["env"]["PP_BASE_URL"] == url


def test_a_file_that_changed_meanwhile_is_left_alone() -> None:
    cursor = BY_NAME["cursor"]
    put(cursor, "{}")
    change = planned(cursor, Launch())
    assert change is not None
    put(cursor, '{"newer": 1}')
    with pytest.raises(Refused, match="changed in the meantime"):
        change.write()
    assert settings_of(cursor) == {"newer": 1}
    assert len([*cursor.file.parent.iterdir()]) == 1


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path: Path) -> None:
    cursor, kept = BY_NAME["cursor"], tmp_path / "dotfiles.json"
    kept.write_text("{}")
    kept.chmod(0o640)
    cursor.file.parent.mkdir()
    cursor.file.symlink_to(kept)
    assert init("cursor", "--demo", "--yes").exit_code == 0
    assert cursor.file.is_symlink()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    assert "plusplus-demo" in kept.read_text()


def test_a_program_that_may_vanish_is_not_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/me/.cache/uv/archive-v0/x1/bin/pp-mcp"])
    done = init("cursor", "--demo", "--yes")
    assert (done.exit_code, "uv tool install" in done.output) == (2, True)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda one: one.name)
@pytest.mark.parametrize("words", [["--demo"], ["--tenant", "globex"], []])
def test_what_is_printed_is_what_is_written(client: ClientApp, words: list[str]) -> None:
    shown = init("--print", client.name, *words)
    assert shown.exit_code == 0, shown.output
    launch = Launch(address={} if "--demo" in words else {"PP_TENANT": "globex" if words else "acme"})
    entry = client.entry(launch)
    if client.name == "claude-code":
        line = shlex.split(shown.output)
        given = dict(word.split("=", 1) for at, word in enumerate(line) if line[at - 1] == "-e")
        assert (given, line[line.index("--") + 1 :]) == (entry.get("env", {}), launch.words)
        return
    printed = tomllib.loads(shown.output) if client.is_toml else json.loads(shown.output)
    assert printed[client.section] == {launch.name: entry}
    assert printed.get("inputs", []) == client.inputs(launch)
    if launch.address and not client.is_toml and not client.token:
        assert load(environ=entry["env"]).tenant == launch.address["PP_TENANT"]
