"""What the text of a setting may be: addresses, names, keys, lists. Every ValueError is worded to follow the setting's
name."""

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr, TypeAdapter
from pydantic_settings import NoDecode

from pp_mcp.text import nearest

API_PATH = "/public_api/v2"
"""Where the API is below a tenant's address (documented)."""

TOOLSETS = ("users", "groups", "content", "assignments", "enrollments", "reports", "bulk", "tokens")
"""The names PP_TOOLSETS takes, besides `all`."""

SHORTEST_KEY = 32

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_HEADER = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})


def tenant_url(tenant: str) -> str:
    """The base URL of a tenant, by its subdomain."""
    return f"https://{tenant}.plusplus.app{API_PATH}"


def checked_url(url: str, *, allow_http: bool) -> str:
    """The base URL in its canonical form. Plain http is for this computer only, unless `allow_http`."""
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


def parts_of(text: str) -> list[str]:
    """What stands between commas."""
    return [name for part in text.split(",") if (name := part.strip())]


def _split(value: object) -> object:
    return parts_of(value) if isinstance(value, str) else value


def _toolsets(value: frozenset[str]) -> frozenset[str]:
    names = frozenset(name.lower() for name in value)
    if unknown := sorted(names - {*TOOLSETS, "all"}):
        hints = [f"{name!r}{did_you_mean(name, (*TOOLSETS, 'all'))}" for name in unknown]
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


def _keys(value: SecretStr) -> SecretStr:
    keys = parts_of(value.get_secret_value())
    if any(len(key) < SHORTEST_KEY for key in keys):
        which = "is" if len(keys) == 1 else "has a key that is"
        raise ValueError(f"{which} shorter than {SHORTEST_KEY} characters. Create one with: openssl rand -base64 48")
    if len(keys) != len(set(keys)):
        raise ValueError("has the same key twice. Give the new key, a comma, then the old one")
    return value


def checked_address(value: str) -> str:
    """The same web address, if it is one over https, or of this computer."""
    parts = urlsplit(value)
    if not (parts.hostname and (parts.scheme == "https" or is_this_computer(parts.hostname))):
        raise ValueError("is not an https:// address. Give it as its metadata does, such as https://login.example.com")
    return value


def _algorithms(value: frozenset[str]) -> frozenset[str]:
    if wrong := sorted(value - _ALGORITHMS):
        raise ValueError(f"has {wrong[0]!r}, which is no public-key signature. Valid: {', '.join(sorted(_ALGORITHMS))}")
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    if wrong := [host for host in value if not _HOST_HEADER.fullmatch(host.lower())]:
        raise ValueError(f"has {wrong[0]!r}, which is no host name. Give names alone, such as mcp.example.com")
    return tuple(host.lower() for host in value)


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        scheme, _, host = origin.lower().partition("://")
        if scheme not in ("http", "https") or not _HOST_HEADER.fullmatch(host):
            raise ValueError(
                f"has {origin!r}, which is no origin. Give scheme and host, such as https://app.example.com"
            )
    return tuple(origin.lower() for origin in value)


def _subdomains(value: frozenset[str]) -> frozenset[str]:
    return frozenset(name for one in value if (name := _subdomain(one)))


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

_Set = Annotated[frozenset[str], NoDecode, BeforeValidator(_split)]
_InOrder = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]

Lower = BeforeValidator(lambda value: str(value).lower())
Upper = BeforeValidator(lambda value: str(value).upper())
Toolsets = Annotated[_Set, AfterValidator(_toolsets)]
ToolNames = Annotated[_Set, AfterValidator(_tools)]
Subdomain = Annotated[str | None, AfterValidator(_subdomain)]
Subdomains = Annotated[_Set, AfterValidator(_subdomains)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Keys = Annotated[SecretStr, AfterValidator(_keys)]
Address = Annotated[str, AfterValidator(lambda value: checked_address(value) if value else value)]
Algorithms = Annotated[_Set, AfterValidator(_algorithms)]
Hosts = Annotated[_InOrder, AfterValidator(_hosts)]
Origins = Annotated[_InOrder, AfterValidator(_origins)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion in brackets where a known name is near; else nothing."""
    near = nearest(name, known)
    return f" (did you mean {near}?)" if near else ""
