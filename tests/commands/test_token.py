"""`pp-mcp token new`: the token is printed once, alone on the last line, and good at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pp_mcp.cli import main
from pp_mcp.server.signin import StaticTokens, read_tokens

pytestmark = pytest.mark.anyio


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["token", "new", *arguments], env=environ)


@pytest.mark.parametrize("how", ["setting", "option"])
async def test_a_token_for_somebody(how: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    where = {"PP_HTTP_TOKENS_FILE": str(file)} if how == "setting" else {}
    option = [] if how == "setting" else ["--file", str(file)]
    first = run("jane", *option, **where)
    second = run("reporting", "--scope", "pp:read", "--expires", "2090-03-31", *option, **where)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.count("\n") == 1
    jane, reporting = first.stdout.strip(), second.stdout.strip()
    assert jane not in first.stderr
    tokens, mistakes = read_tokens(file)
    assert mistakes == []
    assert [(one.name, one.scopes, one.expires) for one in tokens] == [
        ("jane", ("pp:read", "pp:write", "pp:destroy"), None),
        ("reporting", ("pp:read",), date(2090, 3, 31)),
    ]
    verifier = StaticTokens(file)
    for token, subject in ((jane, "jane"), (reporting, "reporting")):
        access = await verifier.verify_token(token)
        assert access is not None
        assert access.subject == subject


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jane"], "has a token named jane already"),
        (["jane doe"], "A token's name has"),
        (["sam", "--scope", "pp:admin"], "'pp:admin' is not one of"),
        (["sam", "--expires", "soon"], "--expires"),
    ],
)
def test_what_cannot_be(arguments: list[str], words: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    run("jane", "--file", str(file))
    before = file.read_text(encoding="utf-8")
    ended = run(*arguments, "--file", str(file))
    assert ended.exit_code == 2
    assert words in ended.stderr
    assert ended.stdout == ""
    assert file.read_text(encoding="utf-8") == before


def test_without_a_file() -> None:
    ended = run("jane", PP_HTTP_TOKENS_FILE="")
    assert ended.exit_code == 2
    assert "PP_HTTP_TOKENS_FILE is not set" in ended.stderr


CALLERS = {"PP_CALLER_TOKENS": "true", "PP_ALLOWED_TENANTS": "acme"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve"], "PP_CALLER_TOKENS needs --transport http"),
        (["serve", "--transport", "http", "--host", "0.0.0.0"], "it needs PP_ALLOWED_HOSTS"),
        (["doctor"], "unset it here"),
    ],
)
def test_what_callers_own_tokens_need(arguments: list[str], words: str) -> None:
    ended = CliRunner().invoke(main, arguments, env=CALLERS)
    assert ended.exit_code == 2
    assert words in ended.stderr
