"""Settings that cannot be used: what is said of them, all at once, and that no secret shows."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from pp_mcp.config import Settings, SettingsError, load
from pp_mcp.values import SHORTEST_KEY

TOKEN = "pp_0123456789secret"
KEY = "k" * SHORTEST_KEY
BASE = {"PP_TENANT": "acme", "PP_API_TOKEN": TOKEN}


def loaded(**environ: str) -> Settings:
    return load(environ={**BASE, **environ})


def mistakes(environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(overrides, environ=environ)
    lines = str(caught.value).splitlines()
    assert lines == caught.value.mistakes
    return lines


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("TIMEOUT", "0", "'0'"),
        ("TIMEOUT", "301", "up to 300"),
        ("TIMEOUT", "nan", "'nan'"),
        ("TIMEOUT", "inf", "'inf'"),
        ("TIMEOUT", "soon", "'soon'"),
        ("MAX_CONCURRENCY", "0", "1 to 64"),
        ("MAX_CONCURRENCY", "65", "1 to 64"),
        ("MAX_CONCURRENCY", "2.5", "1 to 64"),
        ("UNCONFIRMED_WRITES", "-1", "'-1'"),
        ("MAX_PAUSE", "0", "'0'"),
        ("MAX_CONNECTIONS", "0", "'0'"),
        ("READ_ONLY", "maybe", "true or false"),
        ("ALLOW_HTTP", "2", "true or false"),
        ("CONFIRM", "never", "allow (no confirmation)"),
        ("LOG_LEVEL", "loud", "DEBUG"),
        ("TIMEZONE", "Mars/Olympus", "Europe/Berlin"),
        ("TIMEZONE", "../../etc/passwd", "Europe/Berlin"),
        ("TIMEZONE", "Europe", "Europe/Berlin"),
        ("TOOLSETS", "usrs", "did you mean users?"),
        ("TOOLSETS", "users,xyzzy", "'xyzzy'. Valid: users"),
        ("TOOLS", "list-users", "'list-users'"),
        ("TOOLS", "list users", "'list users'"),
        ("SECRET_KEY", "k" * (SHORTEST_KEY - 1), "shorter than 32"),
        ("SECRET_KEY", f"{KEY},{'k' * (SHORTEST_KEY - 1)}", "has a key that is shorter than 32"),
        ("SECRET_KEY", f"{KEY},{KEY}", "the same key twice"),
        ("OAUTH_ISSUER", "login.example.com", "not an https:// address"),
        ("OAUTH_ISSUER", "http://login.example.com", "not an https:// address"),
        ("OAUTH_ISSUER", "https://", "not an https:// address"),
        ("OAUTH_JWKS_URI", "http://login.example.com/keys", "not an https:// address"),
        ("OAUTH_AUDIENCE", "https://mcp.example.com/mcp", "Set both, or neither"),
        ("OAUTH_ALGORITHMS", "RS256,HS256", "'HS256', which is no public-key signature"),
        ("OAUTH_ALGORITHMS", "none", "'none', which is no public-key signature"),
        ("CALLER_TOKENS", "true", "PP_API_TOKEN must not be set"),
        ("ALLOWED_TENANTS", "acme,acme.plusplus.app", "first part"),
        ("ALLOWED_TENANTS", "acme,beta", "needs PP_CALLER_TOKENS"),
        (
            "ALLOWED_HOSTS",
            "mcp.example.com,https://mcp.example.com",
            "'https://mcp.example.com', which is no host name",
        ),
        ("ALLOWED_HOSTS", "*", "no host name"),
        ("ALLOWED_ORIGINS", "https://app.example.com/", "no origin"),
        ("ALLOWED_ORIGINS", "*", "no origin"),
        ("ALLOWED_ORIGINS", "null", "no origin"),
        ("TENANT", "acme.plusplus.app", "first part"),
        ("TENANT", "https://acme", "first part"),
        ("TENANT", "-acme", "first part"),
        ("TENANT", "a" * 64, "first part"),
        ("API_TOKEN", "Bearer pp_abc", "Give the token alone"),
        ("API_TOKEN", "pp_abc def", "spaces"),
        ("API_TOKEN", "pp_ébc", "characters that tokens never have"),
        ("API_TOKEN", "pp_a\nb", "characters that tokens never have"),
        ("ROUTES", "{", "not a JSON object"),
        ("ROUTES", "[1]", "neither a JSON object nor a readable file"),
        ("ROUTES", "/no/such/file", "No such file"),
    ],
)
def test_refused(name: str, text: str, words: str) -> None:
    (line,) = mistakes({**BASE, f"PP_{name}": text})
    assert line.startswith(f"PP_{name} ")
    assert words in line
    assert line.endswith((".", ")", "default)."))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("acme.plusplus.app", "not a web address"),
        ("ftp://acme.plusplus.app", "not a web address"),
        ("https://acme plusplus.app", "not a web address"),
        ("https://acme.test/\x00", "not a web address"),
        ("https://acme.test\\@evil.test", "not a web address"),
        ("https://ácme.test", "not a web address"),
        ("https://acme.test:port/", "not a web address"),
        ("https://[::1", "not a web address"),
        ("https://jo:hush@acme.test/v2", "user name or password"),
        ("https://acme.test/v2?x=1", "query or fragment"),
        ("https://acme.test/v2#x", "query or fragment"),
        ("https:///v2", "host name"),
        ("https://<tenant>.plusplus.app/public_api/v2", "host name"),
        ("http://acme.test/v2", "PP_ALLOW_HTTP"),
        ("http://localhost.evil.test/v2", "PP_ALLOW_HTTP"),
        ("http://10.0.0.1/v2", "PP_ALLOW_HTTP"),
    ],
)
def test_base_urls_that_are_refused(url: str, words: str) -> None:
    (line,) = mistakes({"PP_BASE_URL": url, "PP_API_TOKEN": TOKEN})
    assert line.startswith("PP_BASE_URL ")
    assert words in line
    assert "hush" not in line


def test_nothing_set() -> None:
    lines = mistakes({})
    assert [line.split()[0] for line in lines] == ["PP_TENANT", "PP_API_TOKEN"]
    assert "PP_BASE_URL" in lines[0]
    assert mistakes({"PP_TENANT": " ", "PP_API_TOKEN": "", "PP_BASE_URL": "", "PP_TIMEOUT": ""}) == lines


def test_all_mistakes_at_once_and_no_secret() -> None:
    secret_token, secret_key = "pp_hush_hush token", "keep-this-quiet"
    environ = {
        "PP_API_TOKEN": secret_token,
        "PP_SECRET_KEY": secret_key,
        "PP_TENANT": "pp_hush_hush",
        "PP_TIMEOUT": "pp_hush_hush",
        "PP_TOOLSETS": secret_key,
        "PP_TOOLS": secret_token,
        "PP_CONFIRM": secret_key,
        "PP_READ_ONLY": secret_key,
        "PP_LOG_LEVEL": "x",
        "PP_MAX_CONCURRENCY": "x",
        "PP_ROUTES": secret_token,
        "PP_ALLOW_HTTP": secret_token,
    }
    lines = mistakes(environ, {"base_url": f"https://{secret_token}/"})
    told = {line.split()[0] for line in lines}
    assert told == {*environ, "PP_BASE_URL"} - {"PP_TENANT"}
    text = "\n".join(lines).lower()
    assert "hush" not in text
    assert "quiet" not in text
    assert all(line.endswith(".") for line in lines)


@given(st.text(st.characters(codec="ascii"), min_size=7).filter(lambda text: text.rstrip() == text))
def test_a_token_shows_nowhere(text: str) -> None:
    token = f"pp_{text}"
    environ = {"PP_TENANT": "acme", "PP_API_TOKEN": token, "PP_SECRET_KEY": KEY}
    if not all("!" <= char <= "~" for char in text):
        (line,) = mistakes(environ)
        assert line.startswith("PP_API_TOKEN ")
        assert token not in line
        return
    settings = load(environ=environ)
    assert settings.api_token.get_secret_value() == token
    assert token not in f"{settings!r} {settings} {settings.model_dump()} {settings.warnings}"
    assert KEY not in f"{settings!r} {settings}"


def test_direct_mistakes_do_not_show_secrets_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(api_token=SecretStr("hush hush"), secret_key=SecretStr("hush"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[1]", "names a file that is not a JSON object"),
        (b"{", "names a file that is not a JSON object"),
        (b"\xff\xfe", "it is not text"),
        (b"[" * 100_000, "names a file that is not a JSON object"),
    ],
)
def test_routes_of_a_file_that_holds_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "routes.json"
    path.write_bytes(content)
    (line,) = mistakes({**BASE, "PP_ROUTES": str(path)})
    assert words in line


def test_routes_that_are_a_directory(tmp_path: Path) -> None:
    (line,) = mistakes({**BASE, "PP_ROUTES": str(tmp_path)})
    assert "Is a directory" in line
