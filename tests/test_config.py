"""Settings: where they come from, and what is accepted."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from pp_mcp.config import Settings, SettingsError, load, variable
from pp_mcp.values import SHORTEST_KEY, TOOLSETS

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


def test_the_least_that_is_needed() -> None:
    settings = loaded()
    assert settings.base_url == "https://acme.plusplus.app/public_api/v2"
    assert settings.api_token.get_secret_value() == TOKEN
    assert settings.toolsets == set(TOOLSETS) - {"tokens"}
    assert (settings.tools, settings.read_only, settings.confirm, settings.routes) == (frozenset(), False, "token", {})
    assert (settings.timeout, settings.max_concurrency, settings.log_level) == (30, 8, "INFO")
    assert (settings.unconfirmed_writes, settings.max_pause, settings.max_connections) == (50, 60, 512)
    assert (settings.allow_http, settings.audit_reads, settings.warnings) == (False, False, [])


def test_made_directly_they_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PP_TENANT", "elsewhere")
    monkeypatch.setenv("PP_READ_ONLY", "true")
    assert Settings().base_url == ""
    settings = Settings(base_url="https://x.test", api_token=SecretStr("t"), toolsets=frozenset({"users"}))
    assert (settings.base_url, settings.read_only, settings.toolsets) == ("https://x.test", False, {"users"})


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PP_TENANT", "acme")
    monkeypatch.setenv("PP_API_TOKEN", TOKEN)
    monkeypatch.setenv("PP_TIMEOUT", "5")
    assert load().timeout == 5


def test_a_given_environment_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PP_TIMEOUT", "5")
    assert loaded().timeout == 30


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("TIMEOUT", "0.5", 0.5),
        ("TIMEOUT", "300", 300),
        ("TIMEOUT", " 7 ", 7),
        ("MAX_CONCURRENCY", "1", 1),
        ("MAX_CONCURRENCY", "64", 64),
        ("READ_ONLY", "true", True),
        ("READ_ONLY", "YES", True),
        ("READ_ONLY", "1", True),
        ("READ_ONLY", "off", False),
        ("ALLOW_HTTP", "on", True),
        ("CONFIRM", "Elicit", "elicit"),
        ("CONFIRM", "block", "block"),
        ("CONFIRM", "allow", "allow"),
        ("CONFIRM", "person", "person"),
        ("UNCONFIRMED_WRITES", "0", 0),
        ("MAX_PAUSE", "0.5", 0.5),
        ("MAX_CONNECTIONS", "1", 1),
        ("AUDIT_READS", "false", False),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("TIMEZONE", "Europe/Berlin", "Europe/Berlin"),
        ("LOG_LEVEL", "Warning", "WARNING"),
        ("TOOLSETS", "users", {"users"}),
        ("TOOLSETS", " Users , tokens,,", {"users", "tokens"}),
        ("TOOLSETS", "all", set(TOOLSETS)),
        ("TOOLSETS", "users,all", set(TOOLSETS)),
        ("TOOLS", "list_users, get_user", {"list_users", "get_user"}),
        ("SECRET_KEY", KEY, SecretStr(KEY)),
        ("ROUTES", '{"list_users": "/people"}', {"list_users": "/people"}),
        ("ROUTES", ' {"a": {"path": "/x", "query": {"b": "c"}}} ', {"a": {"path": "/x", "query": {"b": "c"}}}),
    ],
)
def test_accepted(name: str, text: str, value: Any) -> None:
    assert getattr(loaded(**{f"PP_{name}": text}), name.lower()) == value


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://learn.acme.com/public_api/v2", "https://learn.acme.com/public_api/v2"),
        ("https://learn.acme.com/public_api/v2//", "https://learn.acme.com/public_api/v2"),
        ("HTTPS://Learn.ACME.com:8443/Api/", "https://learn.acme.com:8443/Api"),
        ("http://localhost:8000/v2", "http://localhost:8000/v2"),
        ("http://api.localhost/v2", "http://api.localhost/v2"),
        ("http://127.0.0.1/v2", "http://127.0.0.1/v2"),
        ("http://127.9.9.9/v2", "http://127.9.9.9/v2"),
        ("http://[::1]:8000/v2", "http://[::1]:8000/v2"),
    ],
)
def test_base_urls(url: str, kept: str) -> None:
    assert load(environ={"PP_BASE_URL": url, "PP_API_TOKEN": TOKEN}).base_url == kept


def test_recorded_reads_need_a_log() -> None:
    assert loaded(PP_AUDIT_READS="true", PP_AUDIT_LOG="x").audit_reads
    (line,) = mistakes({**BASE, "PP_AUDIT_READS": "true"})
    assert "PP_AUDIT_LOG" in line


def test_what_is_missing_can_be_told_later() -> None:
    settings = load(environ={"PP_TIMEOUT": "5"}, strict=False)
    assert [line.split()[0] for line in settings.missing] == ["PP_TENANT", "PP_API_TOKEN"]
    assert loaded().missing == []
    with pytest.raises(SettingsError, match=r"PP_TENANT(?s:.*)PP_TIMEOUT"):
        load(environ={"PP_TIMEOUT": "x"}, strict=False)


def test_plain_http_where_it_is_allowed() -> None:
    environ = {"PP_BASE_URL": "http://acme.test/v2", "PP_API_TOKEN": TOKEN, "PP_ALLOW_HTTP": "true"}
    assert load(environ=environ).base_url == "http://acme.test/v2"


def test_one_mistake_is_not_told_twice() -> None:
    environ = {"PP_BASE_URL": "http://acme.test/v2", "PP_API_TOKEN": TOKEN, "PP_ALLOW_HTTP": "maybe"}
    assert [line.split()[0] for line in mistakes(environ)] == ["PP_ALLOW_HTTP"]


@pytest.mark.parametrize("url", ["https://acme.plusplus.app/public_api/v2/", "https://ACME.plusplus.app/public_api/v2"])
def test_tenant_and_base_url_that_say_the_same(url: str) -> None:
    assert loaded(PP_BASE_URL=url).base_url == "https://acme.plusplus.app/public_api/v2"


def test_tenant_and_base_url_that_do_not() -> None:
    (line,) = mistakes({**BASE, "PP_BASE_URL": "https://learn.acme.com/public_api/v2"})
    assert "PP_TENANT" in line


def test_the_tenant_in_any_case() -> None:
    settings = loaded(PP_TENANT="ACME")
    assert (settings.tenant, settings.base_url) == ("acme", "https://acme.plusplus.app/public_api/v2")


def test_the_key_is_derived_from_the_token_where_none_is_given() -> None:
    (first,), (again,) = loaded().signing_keys, loaded().signing_keys
    (other,) = loaded(PP_API_TOKEN="pp_another_token").signing_keys
    assert first == again != other
    assert len(first) >= SHORTEST_KEY
    assert TOKEN.encode() not in first
    assert loaded(PP_SECRET_KEY=KEY).signing_keys == [KEY.encode()]


def test_a_new_key_signs_while_the_old_one_is_still_accepted() -> None:
    new = "n" * SHORTEST_KEY
    assert loaded(PP_SECRET_KEY=f"{new}, {KEY},").signing_keys == [new.encode(), KEY.encode()]


# ------------------------------------------------------------------------------------------------ overrides and demo


def test_overrides_win_and_none_is_none() -> None:
    environ = {**BASE, "PP_TIMEOUT": "5", "PP_TOOLSETS": "users", "PP_READ_ONLY": "true"}
    settings = load(
        {"timeout": 9, "toolsets": ("groups",), "read_only": None, "log_level": "", "tools": ["get_user"]},
        environ=environ,
    )
    assert (settings.timeout, settings.toolsets, settings.tools) == (9, {"groups"}, {"get_user"})
    assert (settings.read_only, settings.log_level) == (True, "INFO")


def test_an_override_mends_what_the_environment_has_wrong() -> None:
    assert load({"timeout": "9"}, environ={**BASE, "PP_TIMEOUT": "x"}).timeout == 9


def test_the_address_of_an_override_puts_the_other_aside() -> None:
    assert load({"tenant": "b"}, environ={**BASE, "PP_BASE_URL": "https://x.test/v2"}).base_url.startswith("https://b.")
    settings = load({"base_url": "https://x.test/v2"}, environ=BASE)
    assert (settings.base_url, settings.tenant) == ("https://x.test/v2", None)


def test_an_unknown_override() -> None:
    (line,) = mistakes(BASE, {"colour": "red"})
    assert line == "PP_COLOUR is not a setting."


def test_demo_needs_no_tenant_and_reads_none() -> None:
    settings = load(demo=True, environ={"PP_TIMEOUT": "5"})
    assert (settings.base_url, settings.api_token.get_secret_value(), settings.timeout) == ("", "", 5)
    settings = load(demo=True, environ={**BASE, "PP_BASE_URL": "nonsense"})
    assert (settings.base_url, settings.api_token.get_secret_value()) == ("", "")
    settings = load({"base_url": "http://localhost/v2", "api_token": "t"}, demo=True, environ=BASE)
    assert (settings.base_url, settings.api_token.get_secret_value()) == ("http://localhost/v2", "t")
    with pytest.raises(SettingsError, match="PP_TIMEOUT"):
        load(demo=True, environ={"PP_TIMEOUT": "x"})


# ------------------------------------------------------------------------------------------------ files


def test_routes_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "routes.json"
    path.write_text(json.dumps({"list_users": "/people"}), encoding="utf-8")
    assert loaded(PP_ROUTES=str(path)).routes == {"list_users": "/people"}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loaded(PP_ROUTES="~/routes.json").routes == {"list_users": "/people"}
    assert Settings(routes={"a": "/b"}).routes == {"a": "/b"}


# --------------------------------------------------------------------------------------------- oddities, descriptions


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PP_READONLY": "1"}, "PP_READONLY is not a setting of this server (did you mean PP_READ_ONLY?)"),
        ({"PP_XYZZY": "1"}, "PP_XYZZY is not a setting of this server; it is ignored."),
        ({"PP_API_TOKEN": "abc"}, "does not start with pp_"),
        ({"PP_TENANT": "", "PP_BASE_URL": "https://learn.acme.com/"}, "usually at /public_api/v2"),
    ],
)
def test_warnings(environ: dict[str, str], words: str) -> None:
    (line,) = loaded(**environ).warnings
    assert words in line


def test_other_variables_are_none_of_our_business() -> None:
    assert loaded(PATH="/bin", PPP_X="1", APP_PP_X="2").warnings == []


def test_every_setting_is_described_in_one_line() -> None:
    for name, field in Settings.model_fields.items():
        assert variable(name) == f"PP_{name.upper()}"
        assert field.description
        assert "\n" not in field.description
        assert field.description.endswith(".")
        assert len(field.description) <= 200


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().timeout = 5  # type: ignore[misc]
