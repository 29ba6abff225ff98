"""The settings: the only reader of the environment. Every mistake is named at once, and no secret is printed."""

import ipaddress
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from pp_mcp.text import nearest

API_PATH = "/public_api/v2"
"""Where the API is below a tenant's address (documented)."""

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def checked_url(url: str, *, allow_http: bool) -> str:
    """The base URL in its plain form. Plain http only to this computer, unless `allow_http`; raises ValueError with the
    reason, to follow the name of the setting."""
    example = f"such as https://acme.plusplus.app{API_PATH}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not all("!" <= char <= "~" and char != "\\" for char in url):
        raise ValueError(f"is no web address. Give the whole of it, {example}")
    if "@" in parts.netloc:
        raise ValueError("holds a user name or password. Leave them out; the token goes into PP_API_TOKEN")
    if "?" in url or "#" in url:
        raise ValueError(f"holds a query or fragment. Give it without, {example}")
    if not _HOST.fullmatch(host):
        raise ValueError(f"has no proper host name. Give the whole address, {example}")
    if parts.scheme == "http" and not allow_http and not is_this_computer(host):
        raise ValueError("would send the token unencrypted. Use https://, or set PP_ALLOW_HTTP=true")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def is_this_computer(host: str) -> bool:
    """Whether the host is this computer and no other: a loopback address or a name of it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


TOOLSETS = ("users", "groups", "content", "assignments", "enrollments", "reports", "bulk", "tokens")
"""The names PP_TOOLSETS takes, besides `all`."""

SHORTEST_KEY = 32

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SECRETS = ("api_token", "secret_key")


class SettingsError(Exception):
    """Settings that cannot be used. `mistakes` has a line for each: the variable, what is wrong, what to do."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(self.mistakes))


class Settings(BaseSettings):
    """What the server was told. Made with arguments it does not look at the environment; `load` does."""

    model_config = SettingsConfigDict(env_prefix="PP_", extra="forbid", frozen=True, hide_input_in_errors=True)

    # base_url is checked against the two before it.
    allow_http: bool = Field(
        False, description="Allow http:// to other computers, the API token unencrypted: true or false (default)."
    )
    tenant: str | None = Field(
        None, description="The subdomain of your PlusPlus address: acme for acme.plusplus.app. In place of PP_BASE_URL."
    )
    base_url: str = Field(
        "", validate_default=True, description=f"The API's whole base URL, such as https://learn.example.com{API_PATH}."
    )
    api_token: SecretStr = Field(
        SecretStr(""), description="The API token, from Dashboard, API Tokens in PlusPlus; begins with pp_. Secret."
    )
    toolsets: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(TOOLSETS) - {"tokens"},
        description=f"Which tools to offer, comma-separated: {', '.join(TOOLSETS)}, or all. Default: all but tokens.",
    )
    tools: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="Offer only these of the tools of PP_TOOLSETS: names, comma-separated. Default: all."
    )
    read_only: bool = Field(False, description="Offer only tools that change nothing: true or false (default).")
    confirm: Literal["token", "elicit", "block", "allow"] = Field(
        "token",
        description="Destructive tools: token (preview, then confirm; default), elicit (ask the person too), "
        "block (not offered) or allow (no confirmation).",
    )
    secret_key: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(48)),
        description=f"Signs confirmations: {SHORTEST_KEY} characters or more, the same on all replicas. Secret. "
        "Default: random for each process.",
    )
    timeout: float = Field(
        30.0, gt=0, le=300, description="Seconds one request to PlusPlus may take: above 0, up to 300. Default: 30."
    )
    max_concurrency: int = Field(
        8, ge=1, le=64, description="How many requests to PlusPlus at the same time: 1 to 64. Default: 8."
    )
    routes: Annotated[dict[str, Any], NoDecode] = Field(
        {}, description="Other paths and parameter names of your tenant: a JSON object, or a file that holds one."
    )
    timezone: str = Field(
        "UTC", description="Time zone today is reckoned in, for reports: a name such as Europe/Berlin. Default: UTC."
    )
    audit_log: str = Field(
        default="",
        description="File that records every write, before and after it; - for stderr. Default: none.",
    )
    max_writes_per_hour: int = Field(
        default=5_000,
        ge=0,
        le=1_000_000,
        description="Writes an hour at most, a brake on a runaway agent; 0 for no limit. Default: 5000.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much to log, on stderr: DEBUG, INFO (default), WARNING or ERROR."
    )

    _warnings: list[str] = PrivateAttr(default_factory=list[str])

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, *args: Source, **kwargs: Source
    ) -> tuple[Source, ...]:
        return (init_settings,)

    @property
    def warnings(self) -> list[str]:
        """What looks odd, and is no mistake: a line each, for the log."""
        return self._warnings

    @field_validator("tenant")
    @classmethod
    def _tenant(cls, value: str | None) -> str | None:
        name = (value or "").lower()
        if name and not _SUBDOMAIN.fullmatch(name):
            raise ValueError("is not a subdomain. Give the first part of your address only: acme for acme.plusplus.app")
        return name or None

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str, info: ValidationInfo) -> str:
        tenant = info.data.get("tenant")
        of_tenant = f"https://{tenant}.plusplus.app{API_PATH}" if tenant else ""
        # A PP_ALLOW_HTTP that is wrong itself is one mistake, not two.
        url = checked_url(value, allow_http=info.data.get("allow_http", True)) if value else of_tenant
        if of_tenant and url != of_tenant:
            raise ValueError("is another address than the one of PP_TENANT. Set only one of the two")
        return url

    @field_validator("api_token")
    @classmethod
    def _api_token(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if token.lower().startswith("bearer "):
            raise ValueError('begins with "Bearer". Give the token alone')
        if not all("!" <= char <= "~" for char in token):
            raise ValueError("holds spaces or characters no token has. Copy it again; PlusPlus tokens look like pp_…")
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret_key(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"is shorter than {SHORTEST_KEY} characters. Make one with: openssl rand -base64 48")
        return value

    @field_validator("toolsets", mode="before")
    @classmethod
    def _toolsets(cls, value: object) -> frozenset[str]:
        names = {name.lower() for name in _listed(value)}
        if unknown := sorted(names - {*TOOLSETS, "all"}):
            hints = [f"{name!r}{_nearest(name, (*TOOLSETS, 'all'))}" for name in unknown]
            raise ValueError(f"has no toolset {', '.join(hints)}. There are {', '.join(TOOLSETS)}, and all")
        return frozenset(TOOLSETS) if "all" in names else frozenset(names)

    @field_validator("tools", mode="before")
    @classmethod
    def _tools(cls, value: object) -> frozenset[str]:
        names = _listed(value)
        if wrong := [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]:
            raise ValueError(f"holds {wrong[0]!r}, which is no tool's name. Give list_users,get_user and the like")
        return frozenset(names)

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("is no time zone of the IANA database. Give a name such as Europe/Berlin") from None
        return value

    @field_validator("confirm", "log_level", mode="before")
    @classmethod
    def _in_any_case(cls, value: object, info: ValidationInfo) -> object:
        text = str(value)
        return text.upper() if info.field_name == "log_level" else text.lower()

    @field_validator("routes", mode="before")
    @classmethod
    def _routes(cls, value: object) -> dict[str, Any]:
        source = "is"
        if isinstance(value, str):
            if not value.lstrip().startswith("{"):
                source = "names a file that is"
                try:
                    value = Path(value).expanduser().read_text(encoding="utf-8")
                except (OSError, ValueError) as fault:
                    why = getattr(fault, "strerror", None) or "it is not text"
                    raise ValueError(f"is neither a JSON object nor a file that can be read ({why})") from None
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError(f"{source} no JSON. Give an object: operation to path") from None
        if not isinstance(value, dict):
            raise ValueError(f"{source} no JSON object. Give an object: operation to path")
        return cast(dict[str, Any], value)


def variable(name: str) -> str:
    """The environment variable of a setting: PP_BASE_URL for `base_url`."""
    return f"PP_{name.upper()}"


def load(
    overrides: Mapping[str, object] | None = None, *, demo: bool = False, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings of the environment, or of `environ`; `overrides`, by setting name, win unless they are None.

    An override of `tenant` or `base_url` puts the other one of the environment aside. Empty values count as not set.
    With `demo` no tenant is needed, so address and token are not read from the environment. Raises SettingsError.
    """
    env = {k: text for k, v in (os.environ if environ is None else environ).items() if (text := v.strip())}
    given = {name: value for name, value in (overrides or {}).items() if value is not None and value != ""}
    aside = {"tenant", "base_url"} if given.keys() & {"tenant", "base_url"} else set[str]()
    if demo:
        aside |= {"tenant", "base_url", "api_token"}
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in env.items()}
    values: dict[str, Any] = {name: value for name, value in source().items() if name not in aside}
    values |= given
    mistakes: list[str] = []
    if not demo and not values.keys() & {"tenant", "base_url"}:
        mistakes.append("PP_TENANT: is not set. Set it to the subdomain of your PlusPlus address, or set PP_BASE_URL.")
    if not demo and "api_token" not in values:
        mistakes.append("PP_API_TOKEN: is not set. Make a token in PlusPlus, under Dashboard, API Tokens.")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_without_secrets([*mistakes, *_lines(error)], values)) from None
    if mistakes:
        raise SettingsError(mistakes)
    settings.warnings.extend(_oddities(settings, env))
    return settings


def _lines(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0])
        field = Settings.model_fields.get(name)
        if fault["type"] == "value_error":
            lines.append(f"{variable(name)}: {fault['msg'].removeprefix('Value error, ')}.")
        elif field is None:
            lines.append(f"{variable(name)}: is no setting.")
        else:
            shown = "" if name in (*_SECRETS, "base_url", "routes") else f" {str(fault['input'])[:60]!r}"
            lines.append(f"{variable(name)}: cannot be{shown}. {field.description}")
    return lines


def _without_secrets(lines: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    hidden: set[str] = set()
    for name in _SECRETS:
        value = values.get(name, "")
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        hidden |= {part for part in (text, *text.split()) if len(part) > 6}
    return [re.sub("|".join(map(re.escape, sorted(hidden, key=len, reverse=True))) or r"(?!)", "…", x) for x in lines]


def _oddities(settings: Settings, env: Mapping[str, str]) -> Iterable[str]:
    names = [variable(name) for name in Settings.model_fields]
    for name in sorted(env):
        if name.upper().startswith("PP_") and name.upper() not in names:
            yield f"{name} is no setting of this server{_nearest(name, names)}; it is ignored."
    token = settings.api_token.get_secret_value()
    if token and not token.startswith("pp_"):
        yield "PP_API_TOKEN does not begin with pp_, as the tokens of the Public API v2 do."
    if settings.base_url and not urlsplit(settings.base_url).path:
        yield f"PP_BASE_URL has no path; the API is usually at {API_PATH} below the address."


def _listed(value: object) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else cast(Iterable[object], value)
    return [name for part in parts if (name := str(part).strip())]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f" (did you mean {near}?)" if near else ""
