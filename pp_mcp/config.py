"""The settings. Nothing else reads the environment; all mistakes are listed at once, and no secret is printed."""

import hmac
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from pp_mcp.text import nearest

API_PATH = "/public_api/v2"
"""Where the API is below a tenant's address (documented)."""

TOOLSETS = ("users", "groups", "content", "assignments", "enrollments", "reports", "bulk", "tokens")
"""The names PP_TOOLSETS takes, besides `all`."""

SHORTEST_KEY = 32

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SECRETS = ("api_token", "secret_key", "redis_url")


def checked_url(url: str, *, allow_http: bool) -> str:
    """The base URL in its canonical form. Plain http is for this computer only, unless `allow_http`.

    Raises:
        ValueError: says what is wrong, worded to follow the setting's name.
    """
    example = f"such as https://acme.plusplus.app{API_PATH}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not all("!" <= char <= "~" and char != "\\" for char in url):
        raise ValueError(f"is not a web address. Give the full URL, {example}")
    if "@" in parts.netloc:
        raise ValueError("contains a user name or password. Remove it; the token goes into PP_API_TOKEN")
    if "?" in url or "#" in url:
        raise ValueError(f"contains a query or fragment. Give the URL without it, {example}")
    if not _HOST.fullmatch(host):
        raise ValueError(f"has no valid host name. Give the full URL, {example}")
    if parts.scheme == "http" and not allow_http and not is_this_computer(host):
        raise ValueError("would send the token unencrypted. Use https://, or set PP_ALLOW_HTTP=true")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def is_this_computer(host: str) -> bool:
    """Whether the host is a loopback address or a name for one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _split(value: object) -> object:
    return [name for part in value.split(",") if (name := part.strip())] if isinstance(value, str) else value


def _toolsets(value: frozenset[str]) -> frozenset[str]:
    names = frozenset(name.lower() for name in value)
    if unknown := sorted(names - {*TOOLSETS, "all"}):
        hints = [f"{name!r}{_nearest(name, (*TOOLSETS, 'all'))}" for name in unknown]
        raise ValueError(f"has no toolset {', '.join(hints)}. Valid: {', '.join(TOOLSETS)}, all")
    return frozenset(TOOLSETS) if "all" in names else names


def _tools(value: frozenset[str]) -> frozenset[str]:
    if wrong := sorted(name for name in value if not re.fullmatch(r"[a-z][a-z0-9_]*", name)):
        raise ValueError(f"contains {wrong[0]!r}, which is not a tool name. Give names such as list_users,get_user")
    return value


def _subdomain(value: str | None) -> str | None:
    name = (value or "").lower()
    if name and not _SUBDOMAIN.fullmatch(name):
        raise ValueError("is not a subdomain. Give the first part of your address: acme for acme.plusplus.app")
    return name or None


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if token.lower().startswith("bearer "):
        raise ValueError('starts with "Bearer". Give the token alone')
    if not all("!" <= char <= "~" for char in token):
        raise ValueError("contains spaces or characters that tokens never have. Copy it again; it starts with pp_")
    return value


def _key(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < SHORTEST_KEY:
        raise ValueError(f"is shorter than {SHORTEST_KEY} characters. Create one with: openssl rand -base64 48")
    return value


def _redis(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("is not an address such as redis://host:6379/0, or rediss:// for an encrypted connection")
    return value


def _time_zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, KeyError):
        raise ValueError("is not an IANA time zone. Give a name such as Europe/Berlin") from None


def _json_object(value: object) -> object:
    """A JSON object from the text itself or from the file that it names."""
    if not isinstance(value, str):
        return value
    text, source = value, "is"
    if not value.lstrip().startswith("{"):
        try:
            text, source = Path(value).expanduser().read_text(encoding="utf-8"), "names a file that is"
        except (OSError, ValueError) as fault:
            why = getattr(fault, "strerror", None) or "it is not text"
            raise ValueError(f"is neither a JSON object nor a readable file ({why})") from None
    try:
        return _OBJECT.validate_json(text)
    except ValueError:
        raise ValueError(f"{source} not a JSON object. Give one: operation to path") from None


_OBJECT = TypeAdapter(dict[str, Any])

CommaSeparated = Annotated[frozenset[str], NoDecode, BeforeValidator(_split)]
Lower = BeforeValidator(lambda value: str(value).lower())
Upper = BeforeValidator(lambda value: str(value).upper())


class SettingsError(Exception):
    """The settings are unusable. `mistakes` has a line for each: the variable, what is wrong, what to do."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(self.mistakes))


class Settings(BaseSettings):
    """The settings. Constructing them directly ignores the environment; `load` reads it."""

    model_config = SettingsConfigDict(env_prefix="PP_", extra="forbid", frozen=True, hide_input_in_errors=True)

    # The check of base_url needs the two fields before it.
    allow_http: bool = Field(
        False,
        description="Allow http:// to other computers, which sends the API token unencrypted: true or false (default).",
    )
    tenant: Annotated[str | None, AfterValidator(_subdomain)] = Field(
        None, description="The subdomain of your PlusPlus address: acme for acme.plusplus.app. Or set PP_BASE_URL."
    )
    base_url: str = Field(
        "",
        validate_default=True,
        description=f"The API's full base URL, such as https://learn.example.com{API_PATH}. Or set PP_TENANT.",
    )
    api_token: Annotated[SecretStr, AfterValidator(_token)] = Field(
        SecretStr(""), description="API token from PlusPlus (Dashboard, API Tokens); starts with pp_. Secret."
    )
    toolsets: Annotated[CommaSeparated, AfterValidator(_toolsets)] = Field(
        frozenset(TOOLSETS) - {"tokens"},
        description=f"Toolsets to offer, comma-separated: {', '.join(TOOLSETS)}, or all. Default: all but tokens.",
    )
    tools: Annotated[CommaSeparated, AfterValidator(_tools)] = Field(
        frozenset(), description="Offer only these tools of those toolsets: names, comma-separated. Default: all."
    )
    read_only: bool = Field(False, description="Offer only tools that change nothing: true or false (default).")
    confirm: Annotated[Literal["token", "elicit", "person", "block", "allow"], Lower] = Field(
        "token",
        description="How changes are confirmed: token (preview, then confirm; default), elicit (also ask the person "
        "if possible), person (only the person can), block (refuse them) or allow (no confirmation).",
    )
    unconfirmed_writes: int = Field(
        50, ge=0, description="Changes in an hour that need no confirmation; beyond it every write does. Default: 50."
    )
    secret_key: Annotated[SecretStr, AfterValidator(_key)] = Field(
        SecretStr(""),
        description=f"Key that signs confirmations: at least {SHORTEST_KEY} characters, the same on all replicas. "
        "Secret. Default: derived from PP_API_TOKEN.",
    )
    timeout: float = Field(
        30.0, gt=0, le=300, description="Seconds one request to PlusPlus may take: above 0, up to 300. Default: 30."
    )
    max_concurrency: int = Field(
        8, ge=1, le=64, description="Maximum number of simultaneous requests to PlusPlus: 1 to 64. Default: 8."
    )
    max_pause: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds to wait at most when PlusPlus limits requests, before trying one again. Default: 60.",
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis)] = Field(
        SecretStr(""),
        description="Redis or Valkey that replicas share their state in, such as redis://:password@host:6379/0 "
        "(extra redis). Secret. Default: none.",
    )
    max_connections: int = Field(
        512, ge=1, le=65_536, description="Maximum number of open connections, with --transport http. Default: 512."
    )
    routes: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)] = Field(
        {}, description="Paths and parameter names that differ on your tenant: a JSON object, or a file with one."
    )
    timezone: Annotated[str, AfterValidator(_time_zone)] = Field(
        "UTC", description="Time zone that decides which day today is: a name such as Europe/Berlin. Default: UTC."
    )
    audit_log: str = Field(
        "", description="File that records every write, before and after it happens; - for stderr. Default: none."
    )
    audit_reads: bool = Field(
        False,
        description="Also record reads of people in PP_AUDIT_LOG, without names or e-mails: true or false (default).",
    )
    max_writes_per_hour: int = Field(
        5_000,
        ge=0,
        le=1_000_000,
        description="Maximum number of changes in an hour, to stop a runaway agent; 0 for no limit. Default: 5000.",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Upper] = Field(
        "INFO", description="How much to log to stderr: DEBUG, INFO (default), WARNING or ERROR."
    )

    _warnings: list[str] = PrivateAttr(default_factory=list[str])
    _missing: list[str] = PrivateAttr(default_factory=list[str])

    @property
    def signing_key(self) -> bytes:
        """The key for confirmations and request states: PP_SECRET_KEY, or else derived from the API token."""
        key = self.secret_key.get_secret_value().encode()
        return key or hmac.digest(self.api_token.get_secret_value().encode(), b"pp-mcp signing key", "sha256")

    @property
    def warnings(self) -> list[str]:
        """What looks odd but works: a line each, for the log."""
        return self._warnings

    @property
    def missing(self) -> list[str]:
        """Which settings are still needed and how to get them, a line each."""
        return self._missing

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, *args: Source, **kwargs: Source
    ) -> tuple[Source, ...]:
        return (init_settings,)

    @field_validator("audit_reads")
    @classmethod
    def _audit_reads(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("audit_log"):
            raise ValueError("needs PP_AUDIT_LOG, the file to record reads in")
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str, info: ValidationInfo) -> str:
        tenant = info.data.get("tenant")
        of_tenant = f"https://{tenant}.plusplus.app{API_PATH}" if tenant else ""
        # An invalid PP_ALLOW_HTTP is reported by itself, not a second time here.
        url = checked_url(value, allow_http=info.data.get("allow_http", True)) if value else of_tenant
        if of_tenant and url != of_tenant:
            raise ValueError("and PP_TENANT name different addresses. Set only one of them")
        return url


def variable(name: str) -> str:
    """The environment variable of a setting: PP_BASE_URL for `base_url`."""
    return f"PP_{name.upper()}"


def load(
    overrides: Mapping[str, object] | None = None,
    *,
    demo: bool = False,
    strict: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings from the environment, or from `environ`; `overrides`, by setting name, win unless they are None.

    An override of `tenant` or `base_url` replaces both. Empty values count as not set. `demo` needs no tenant, so
    address and token are not read from the environment. Unless `strict`, settings that are only missing are listed in
    `missing`. Raises SettingsError.
    """
    env = {name: value.strip() for name, value in (os.environ if environ is None else environ).items()}
    given = {name: value for name, value in (overrides or {}).items() if value is not None and value != ""}
    ignored = {"tenant", "base_url"} if demo or given.keys() & {"tenant", "base_url"} else set[str]()
    if demo:
        ignored.add("api_token")
    source = EnvSettingsSource(Settings, env_ignore_empty=True)
    source.env_vars = {name.lower(): value for name, value in env.items() if value}
    values: dict[str, Any] = {name: value for name, value in source().items() if name not in ignored} | given
    missing: list[str] = []
    if not demo and not values.keys() & {"tenant", "base_url"}:
        missing.append("PP_TENANT is not set. Set it to the subdomain of your PlusPlus address, or set PP_BASE_URL.")
    if not demo and "api_token" not in values:
        missing.append("PP_API_TOKEN is not set. Create a token in PlusPlus under Dashboard, API Tokens.")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_without_secrets([*missing, *_lines(error)], values)) from None
    if missing and strict:
        raise SettingsError(missing)
    settings.missing.extend(missing)
    settings.warnings.extend(_oddities(settings, env))
    return settings


def _lines(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0])
        field = Settings.model_fields.get(name)
        if field is None:
            yield f"{variable(name)} is not a setting."
        elif fault["type"] == "value_error":
            yield f"{variable(name)} {fault['msg'].removeprefix('Value error, ')}."
        else:
            hide = name in (*_SECRETS, "base_url", "routes")
            shown = "have this value" if hide else f"be {str(fault['input'])[:60]!r}"
            yield f"{variable(name)} cannot {shown}. {field.description}"


def _without_secrets(lines: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    hidden: set[str] = set()
    for name in _SECRETS:
        value = values.get(name, "")
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        hidden |= {part for part in (text, *text.split()) if len(part) > 6}
    return [re.sub("|".join(map(re.escape, sorted(hidden, key=len, reverse=True))) or r"(?!)", "…", x) for x in lines]


def _oddities(settings: Settings, env: Mapping[str, str]) -> Iterable[str]:
    names = [variable(name) for name in Settings.model_fields]
    for name in sorted(name for name, value in env.items() if value):
        if name.upper().startswith("PP_") and name.upper() not in names:
            yield f"{name} is not a setting of this server{_nearest(name, names)}; it is ignored."
    token = settings.api_token.get_secret_value()
    if token and not token.startswith("pp_"):
        yield "PP_API_TOKEN does not start with pp_, as tokens of the Public API v2 do."
    if settings.base_url and not urlsplit(settings.base_url).path:
        yield f"PP_BASE_URL has no path; the API is usually at {API_PATH}."


def _nearest(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f" (did you mean {near}?)" if near else ""
