"""The settings. Nothing else reads the environment; all mistakes are listed at once, and no secret is printed."""

import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from pp_mcp.values import (
    API_PATH,
    SHORTEST_KEY,
    TOOLSETS,
    Address,
    Algorithms,
    Hosts,
    JsonObject,
    Keys,
    Lower,
    Origins,
    Subdomain,
    Subdomains,
    TimeZone,
    Token,
    ToolNames,
    Toolsets,
    Upper,
    checked_url,
    did_you_mean,
    parts_of,
    tenant_url,
)

_SECRETS = ("api_token", "secret_key")


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
    tenant: Subdomain = Field(
        None, description="The subdomain of your PlusPlus address: acme for acme.plusplus.app. Or set PP_BASE_URL."
    )
    base_url: str = Field(
        "",
        validate_default=True,
        description=f"The API's full base URL, such as https://learn.example.com{API_PATH}. Or set PP_TENANT.",
    )
    api_token: Token = Field(
        SecretStr(""), description="API token from PlusPlus (Dashboard, API Tokens); starts with pp_. Secret."
    )
    toolsets: Toolsets = Field(
        frozenset(TOOLSETS) - {"tokens"},
        description=f"Toolsets to offer, comma-separated: {', '.join(TOOLSETS)}, or all. Default: all but tokens.",
    )
    tools: ToolNames = Field(
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
    secret_key: Keys = Field(
        SecretStr(""),
        description=f"Key that signs confirmations: at least {SHORTEST_KEY} characters, the same on all replicas. To "
        "change it, give the new and the old one, comma-separated. Secret. Default: derived from PP_API_TOKEN.",
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
    max_connections: int = Field(
        512, ge=1, le=65_536, description="Maximum number of open connections, with --transport http. Default: 512."
    )
    http_tokens_file: str = Field(
        "", description="File of the tokens that may call over HTTP; pp-mcp token new adds one. Default: none."
    )
    oauth_issuer: Address = Field(
        "", description="OAuth issuer whose access tokens may call over HTTP, such as https://login.example.com."
    )
    oauth_audience: str = Field(
        "",
        validate_default=True,
        description="Audience that access tokens must have: this server's URL, such as https://mcp.example.com/mcp.",
    )
    oauth_algorithms: Algorithms = Field(
        frozenset({"RS256", "ES256"}),
        description="Signature algorithms of access tokens, comma-separated. Default: RS256,ES256.",
    )
    oauth_jwks_uri: Address = Field(
        "", description="Address of the issuer's public keys. Default: the one in the issuer's metadata."
    )
    caller_tokens: bool = Field(
        False,
        description="Act with each caller's own API token, from the header X-PP-Token: true or false (default).",
    )
    allowed_tenants: Subdomains = Field(
        frozenset(),
        description="With PP_CALLER_TOKENS: subdomains that the header X-PP-Tenant may name, comma-separated.",
    )
    allowed_hosts: Hosts = Field(
        (), description="Names by which clients reach the server over HTTP, comma-separated, the public one first."
    )
    allowed_origins: Origins = Field(
        (), description="Origins of web pages that may call, such as https://app.example.com, comma-separated."
    )
    routes: JsonObject = Field(
        {}, description="Paths and parameter names that differ on your tenant: a JSON object, or a file with one."
    )
    timezone: TimeZone = Field(
        "UTC", description="Time zone of today and of dates in arguments: a name such as Europe/Berlin. Default: UTC."
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
    log_format: Annotated[Literal["text", "json"], Lower] = Field(
        "text", description="How to log: text (default), or json, an object a line with the request's id."
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="Port that serves metrics for Prometheus (extra otel). Default: none."
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Upper] = Field(
        "INFO", description="How much to log to stderr: DEBUG, INFO (default), WARNING or ERROR."
    )

    _own_key: bytes = PrivateAttr(default_factory=lambda: secrets.token_bytes(SHORTEST_KEY))
    _warnings: list[str] = PrivateAttr(default_factory=list[str])
    _missing: list[str] = PrivateAttr(default_factory=list[str])

    @property
    def signing_keys(self) -> list[bytes]:
        """The keys for confirmations and request states: the first signs, each is accepted. Those of PP_SECRET_KEY, or
        else one derived from the API token; without either, one that only this process has."""
        if keys := parts_of(self.secret_key.get_secret_value()):
            return [key.encode() for key in keys]
        token = self.api_token.get_secret_value().encode()
        return [hmac.digest(token, b"pp-mcp signing key", "sha256") if token else self._own_key]

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

    @field_validator("oauth_audience")
    @classmethod
    def _oauth_audience(cls, value: str, info: ValidationInfo) -> str:
        if "oauth_issuer" in info.data and bool(value) != bool(info.data["oauth_issuer"]):
            raise ValueError("and PP_OAUTH_ISSUER work together only. Set both, or neither")
        return value

    @field_validator("caller_tokens")
    @classmethod
    def _caller_tokens(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("api_token", SecretStr("")).get_secret_value():
            raise ValueError("lets each caller bring a token, so PP_API_TOKEN must not be set. Remove one of the two")
        return value

    @field_validator("allowed_tenants")
    @classmethod
    def _allowed_tenants(cls, value: frozenset[str], info: ValidationInfo) -> frozenset[str]:
        if value and not info.data.get("caller_tokens", True):
            raise ValueError("needs PP_CALLER_TOKENS: with one API token there is one tenant")
        return value

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
        of_tenant = tenant_url(tenant) if tenant else ""
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
    by_callers = str(values.get("caller_tokens", "")).lower() in ("true", "1", "yes", "on")
    if not demo and not values.keys() & {"tenant", "base_url", *(("allowed_tenants",) if by_callers else ())}:
        missing.append("PP_TENANT is not set. Set it to the subdomain of your PlusPlus address, or set PP_BASE_URL.")
    if not demo and not by_callers and "api_token" not in values:
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
        hidden |= {part for part in (text, *re.split(r"[\s,]+", text)) if len(part) > 6}
    return [re.sub("|".join(map(re.escape, sorted(hidden, key=len, reverse=True))) or r"(?!)", "…", x) for x in lines]


def _oddities(settings: Settings, env: Mapping[str, str]) -> Iterable[str]:
    names = [variable(name) for name in Settings.model_fields]
    for name in sorted(name for name, value in env.items() if value):
        if name.upper().startswith("PP_") and name.upper() not in names:
            yield f"{name} is not a setting of this server{did_you_mean(name, names)}; it is ignored."
    token = settings.api_token.get_secret_value()
    if token and not token.startswith("pp_"):
        yield "PP_API_TOKEN does not start with pp_, as tokens of the Public API v2 do."
    if settings.caller_tokens and not settings.secret_key.get_secret_value():
        yield "PP_SECRET_KEY is not set: confirmations are good for this process only, until it stops."
    if settings.base_url and not urlsplit(settings.base_url).path:
        yield f"PP_BASE_URL has no path; the API is usually at {API_PATH}."
