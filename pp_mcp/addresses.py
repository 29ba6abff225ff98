"""Addresses: which are fit to be called or bound to."""

import ipaddress
import re
from urllib.parse import urlsplit

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
