"""Whose bearer tokens the HTTP endpoint takes: those of a file (PP_HTTP_TOKENS_FILE), and those of an OAuth issuer.

The server only checks tokens. It issues none for OAuth, and never passes one on to PlusPlus.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import jwt
from mcp.server.auth.provider import AccessToken, TokenVerifier

from pp_mcp.config import Settings
from pp_mcp.errors import Refused
from pp_mcp.server.principal import SCOPES, included
from pp_mcp.values import checked_address

log = logging.getLogger("pp_mcp.server")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_LINE = re.compile(r"(\S+)\s+sha256:([0-9a-f]{64})\s+(\S+)(?:\s+expires\s+(\d{4}-\d{2}-\d{2}))?")


@dataclass(frozen=True)
class StaticToken:
    """One line of the file. `expires` is the last day, in UTC, on which the token is good."""

    name: str
    digest: str
    scopes: tuple[str, ...]
    expires: date | None = None


def parse_line(line: str) -> StaticToken:
    """Raises ValueError, which says what is wrong."""
    found = _LINE.fullmatch(line)
    if found is None or not _NAME.fullmatch(found[1]):
        raise ValueError(f"is not of the form: name sha256:HEX {','.join(SCOPES)} [expires YYYY-MM-DD]")
    scopes = tuple(found[3].split(","))
    if unknown := set(scopes) - set(SCOPES):
        raise ValueError(f"has the unknown scope {min(unknown)!r}; there are {', '.join(SCOPES)}")
    return StaticToken(found[1], found[2], scopes, date.fromisoformat(found[4]) if found[4] else None)


def read_tokens(file: Path) -> tuple[list[StaticToken], list[str]]:
    """The tokens of a file, and what is wrong with its other lines.

    Raises:
        Refused: the file cannot be read, or others can read it.
    """
    try:
        status = file.stat()
        # A mounted secret belongs to another user and is readable through its group.
        others = 0o077 if os.name == "posix" and status.st_uid == os.getuid() else 0o007
        if os.name == "posix" and status.st_mode & others:
            raise Refused(f"Others can read {file}, which holds tokens. Run: chmod 600 {file}")
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{file} is not a regular file.")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'}).") from error
    tokens: list[StaticToken] = []
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        if not (text := line.partition("#")[0].strip()):
            continue
        try:
            token = parse_line(text)
        except ValueError as mistake:
            mistakes.append(f"line {number} {mistake}")
            continue
        if any(token.name == one.name or token.digest == one.digest for one in tokens):
            mistakes.append(f"line {number} has the name or the token of a line before it")
        else:
            tokens.append(token)
    return tokens, mistakes


def new_token(file: Path, name: str, scopes: Sequence[str], expires: date | None = None) -> str:
    """Adds a token to the file, which is made where there is none, and answers it: it is kept nowhere.

    Raises:
        Refused: the name is malformed or taken, or the file cannot be read or written; it is unchanged.
    """
    if not _NAME.fullmatch(name):
        raise Refused("A token's name has up to 64 letters, digits, _ . @ and -, and begins with a letter or digit.")
    is_cut = False
    if file.exists():
        tokens, mistakes = read_tokens(file)
        if mistakes:
            raise Refused(f"{file} has mistakes. Correct them first: {'; '.join(mistakes)}.")
        if any(one.name == name for one in tokens):
            raise Refused(f"{file} has a token named {name} already. Choose another name, or remove its line first.")
        text = file.read_bytes()
        is_cut = bool(text) and not text.endswith(b"\n")
    token = f"ppm_{secrets.token_urlsafe(32)}"
    line = f"{name} sha256:{_digest(token)} {','.join(scopes)}{f' expires {expires.isoformat()}' if expires else ''}\n"
    try:
        # Made for its owner only; an existing file is known to be private.
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as opened:
            opened.write("\n" * is_cut + line)
    except OSError as error:
        raise Refused(f"{file} cannot be written ({error.strerror}).") from error
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


class StaticTokens:
    """The tokens of a file. It is read again when it changes, so that a token can be revoked without a restart."""

    def __init__(self, file: Path, today: Callable[[], date] = lambda: datetime.now(UTC).date()) -> None:
        """Raises Refused where the file cannot be used or holds no token."""
        self._file, self._today = file, today
        self._version = self._stamp()
        try:
            tokens, mistakes = read_tokens(file)
        except Refused as error:
            tokens, mistakes = [], [error.message.rstrip(".")]
        if mistakes or not tokens:
            why = "; ".join(mistakes) or f"{file} holds no token. Make one with: pp-mcp token new NAME"
            raise Refused(f"PP_HTTP_TOKENS_FILE: {why}.")
        self._tokens = {one.digest: one for one in tokens}

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _reread(self) -> None:
        version = self._stamp()
        if version == self._version:
            return
        self._version = version
        try:
            tokens, mistakes = read_tokens(self._file)
        except Refused as error:
            tokens, mistakes = [], [error.message]
        for mistake in mistakes:
            # Such a line lets nobody in; the others count.
            log.error("PP_HTTP_TOKENS_FILE: %s", mistake)
        self._tokens = {one.digest: one for one in tokens}

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the token allows; None where the file has no such token, or it has expired."""
        self._reread()
        found = self._tokens.get(_digest(token))
        if found is None or (found.expires is not None and found.expires < self._today()):
            return None
        end = found.expires and datetime.combine(found.expires + timedelta(days=1), datetime.min.time(), UTC)
        return AccessToken(
            token=token,
            client_id=found.name,
            subject=found.name,
            scopes=included(found.scopes),
            expires_at=int(end.timestamp()) if end else None,
        )


class JwtVerifier:
    """Access tokens of an OAuth issuer, as JWTs.

    The issuer's keys are fetched when needed and kept for `max_age` seconds. They are asked for at most every
    `min_interval` seconds, whatever key ids callers make up. While the issuer is away, known keys are good for `grace`
    seconds more.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        jwks_uri: str = "",
        transport: httpx2.AsyncBaseTransport | None = None,
        max_age: float = 600.0,
        min_interval: float = 10.0,
        grace: float = 86_400.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._audience, self._algorithms = issuer, audience, list(algorithms)
        self._jwks_uri, self._transport = jwks_uri, transport
        self._max_age, self._min_interval, self._grace = max_age, min_interval, grace
        self._now = now
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = anyio.Lock()

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the token allows; None where the issuer did not sign it for this server, or it is not good now."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        if not isinstance(key_id, str):
            return None
        # Nobody waits for another's look at keys that may be old: they are still good.
        is_old = self._now() - self._fetched > self._max_age and not self._lock.locked()
        if is_old or key_id not in self._keys:
            await self._refresh()
        key = self._keys.get(key_id)
        if key is None or self._now() - self._fetched > self._max_age + self._grace:
            log.debug("An access token was refused: the issuer has no such key, or cannot be reached.")
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            log.debug("An access token was refused: %s", type(error).__name__)
            return None
        # A text (RFC 9068); with some issuers `scp`, a text or a list.
        scope: object = claims.get("scope") or claims.get("scp") or ""
        scopes = cast("list[object]", scope) if isinstance(scope, list) else str(scope).split()
        return AccessToken(
            token=token,
            client_id=str(claims.get("client_id") or claims.get("azp") or "unknown"),
            subject=str(claims["sub"]),
            scopes=included(scopes),
            expires_at=int(claims["exp"]),
            resource=self._audience,
            claims={"iss": self._issuer},
        )

    async def _refresh(self) -> None:
        async with self._lock:
            if self._now() - self._tried < self._min_interval:
                return
            try:
                async with httpx2.AsyncClient(transport=self._transport, timeout=5) as http:
                    self._jwks_uri = self._jwks_uri or await self._discovered(http)
                    found: Any = (await _fetched(http, self._jwks_uri))["keys"]
                keys: dict[str, jwt.PyJWK] = {}
                for one in cast("list[dict[str, Any]]", found):
                    try:
                        key = jwt.PyJWK.from_dict(one)
                    except jwt.PyJWTError:
                        continue  # a kind of key that is not for us
                    if key.key_id and one.get("use", "sig") == "sig":
                        keys[key.key_id] = key
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("The keys of PP_OAUTH_ISSUER could not be fetched: %s", type(error).__name__)
            else:
                self._keys, self._fetched = keys, self._now()
            finally:
                self._tried = self._now()

    async def _discovered(self, http: httpx2.AsyncClient) -> str:
        """The address of the keys, by the issuer's metadata (RFC 8414, or else OpenID Connect)."""
        scheme, _, rest = self._issuer.rstrip("/").partition("://")
        host, slash, path = rest.partition("/")
        for address in (
            f"{scheme}://{host}/.well-known/oauth-authorization-server{slash}{path}",
            f"{scheme}://{rest}/.well-known/openid-configuration",
        ):
            try:
                metadata = await _fetched(http, address)
            except (httpx2.HTTPError, ValueError):
                continue
            if metadata.get("issuer") == self._issuer and metadata.get("jwks_uri"):
                return checked_address(str(metadata["jwks_uri"]))
        raise ValueError("the issuer's metadata names no keys")


async def _fetched(http: httpx2.AsyncClient, address: str) -> dict[str, Any]:
    answer = await http.get(address)
    answer.raise_for_status()
    found: object = answer.json()
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return cast("dict[str, Any]", found)


class FirstOf:
    """Several verifiers: the first that knows a token decides."""

    def __init__(self, verifiers: Sequence[TokenVerifier]) -> None:
        self._verifiers = verifiers

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the token allows by the first verifier that knows it."""
        for verifier in self._verifiers:
            if (found := await verifier.verify_token(token)) is not None:
                return found
        return None


def verifier_of(settings: Settings, transport: httpx2.AsyncBaseTransport | None = None) -> TokenVerifier | None:
    """What checks bearer tokens by these settings; None where there is no sign-in. `transport` leads to the issuer.

    Raises:
        Refused: the file of tokens cannot be used.
    """
    verifiers: list[TokenVerifier] = []
    # The file comes first: to look into it is cheap, and asks nobody.
    if settings.http_tokens_file:
        verifiers.append(StaticTokens(Path(settings.http_tokens_file).expanduser()))
    if settings.oauth_issuer:
        verifiers.append(
            JwtVerifier(
                issuer=settings.oauth_issuer,
                audience=settings.oauth_audience,
                algorithms=sorted(settings.oauth_algorithms),
                jwks_uri=settings.oauth_jwks_uri,
                transport=transport,
            )
        )
    return FirstOf(verifiers) if verifiers else None
