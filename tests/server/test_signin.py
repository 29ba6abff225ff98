"""Whose tokens are good: every way in which one may be wrong, and how the issuer's keys are fetched."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pp_mcp.errors import Refused
from pp_mcp.server.signin import FirstOf, JwtVerifier, StaticTokens, new_token, read_tokens

pytestmark = pytest.mark.anyio

ISSUER, AUDIENCE = "https://login.example.com/acme", "https://mcp.example.com/mcp"
RSA, OTHER, EC = (
    rsa.generate_private_key(65537, 2048),
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
)


class Issuer:
    """An OAuth issuer in memory: metadata and keys, and tokens as it would sign them."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"r1": RSA, "e1": EC}
        self.answer: Callable[[str], Response | None] = lambda _path: None
        self.paths: list[str] = []
        app = Starlette()
        app.add_route("/{path:path}", self._get)
        self.transport = httpx2.ASGITransport(app)

    async def _get(self, request: Request) -> Response:
        path = request.url.path
        self.paths.append(path)
        if (instead := self.answer(path)) is not None:
            return instead
        if path == "/.well-known/oauth-authorization-server/acme":
            return JSONResponse({"issuer": ISSUER, "jwks_uri": "https://login.example.com/keys"})
        if path != "/keys":
            return Response(status_code=404)
        odd = [{"kty": "what"}, {**public("enc", RSA), "use": "enc"}]
        return JSONResponse({"keys": [*odd, *(public(kid, key) for kid, key in self.keys.items())]})

    def verifier(self, **options: Any) -> JwtVerifier:
        options = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["RS256", "ES256"], **options}
        return JwtVerifier(transport=self.transport, **options)


def public(kid: str, key: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid}


def mint(kid: Any = "r1", key: Any = RSA, algorithm: str = "RS256", **claims: Any) -> str:
    """A token; a claim that is None is left out."""
    whole = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "jane", "exp": int(time.time()) + 300, "client_id": "app",
        "scope": "openid pp:write", **claims,
    }  # fmt: skip
    return jwt.encode({k: v for k, v in whole.items() if v is not None}, key, algorithm, headers={"kid": kid})


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.mark.parametrize(
    ("token", "scopes"),
    [
        (mint(), ["pp:read", "pp:write"]),
        (mint("e1", EC, "ES256"), ["pp:read", "pp:write"]),
        (mint(aud=["https://other.example.com", AUDIENCE]), ["pp:read", "pp:write"]),
        (mint(scope=None, scp="pp:read"), ["pp:read"]),
        (mint(scope=None, scp=["pp:destroy", 7]), ["pp:read", "pp:write", "pp:destroy"]),
        (mint(scope=None), []),
        (mint(scope={"pp:read": 1}), []),
    ],
)
async def test_a_good_token(token: str, scopes: list[str], issuer: Issuer) -> None:
    access = await issuer.verifier().verify_token(token)
    assert access is not None
    assert (access.subject, access.client_id, access.scopes, access.claims) == ("jane", "app", scopes, {"iss": ISSUER})


async def test_the_client_by_its_other_name(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    for token, client in ((mint(client_id=None, azp="b"), "b"), (mint(client_id=None), "unknown")):
        access = await verifier.verify_token(token)
        assert access is not None
        assert access.client_id == client


PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
NOW = int(time.time())


def hmac_with_the_public_key() -> str:
    """What an attacker makes who takes the public key for a secret; PyJWT refuses to."""
    import hashlib
    import hmac

    signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'r1'})}.{mint().split('.')[1]}"
    signature = hmac.new(PUBLIC_PEM, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


BAD = {
    "another audience": mint(aud="https://other.example.com/mcp"),
    "the audience with a slash": mint(aud=AUDIENCE + "/"),
    "no audience": mint(aud=None),
    "expired": mint(exp=NOW - 5),
    "no expiry": mint(exp=None),
    "not yet": mint(nbf=NOW + 300),
    "another issuer": mint(iss="https://login.example.com"),
    "no issuer": mint(iss=None),
    "no subject": mint(sub=None),
    "no signature": f"{encoded({'alg': 'none', 'kid': 'r1'})}.{mint().split('.')[1]}.",
    "the public key as a secret": hmac_with_the_public_key(),
    "another key of the same name": mint("r1", OTHER),
    "the key of another kind": mint("e1", RSA),
    "an algorithm that is not allowed": mint(algorithm="RS512"),
    "a key for encrypting": mint("enc", RSA),
    "no key id": jwt.encode({"sub": "jane"}, RSA, "RS256"),
    "a list as key id": f"{encoded({'alg': 'RS256', 'kid': ['r1']})}.e30.x",
    "an object as key id": f"{encoded({'alg': 'RS256', 'kid': {}})}.e30.x",
    "a number as key id": f"{encoded({'alg': 'RS256', 'kid': 7})}.e30.x",
    "garbage": "ppm_garbage",
    "nothing": "",
    "no text at all": "\ud800.é.x",
    "a deep header": f"{base64.urlsafe_b64encode(b'[' * 40_000).decode()}.e30.x",
    "changed after signing": mint()[:-6] + "AAAAAA",
}


@pytest.mark.parametrize("why", BAD)
async def test_a_bad_token(why: str, issuer: Issuer) -> None:
    assert await issuer.verifier().verify_token(BAD[why]) is None


async def test_the_log_says_why_and_not_which(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "pp_mcp")
    token = BAD["another audience"]
    assert await issuer.verifier().verify_token(token) is None
    assert "refused: InvalidAudienceError" in caplog.text
    assert token[:40] not in caplog.text


# --- keys ---------------------------------------------------------------------------------------------------------


async def test_keys_are_fetched_once_for_many(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    good: list[bool] = []

    async def one(token: str) -> None:
        good.append(await verifier.verify_token(token) is not None)

    async with anyio.create_task_group() as group:
        for _ in range(40):
            group.start_soon(one, mint())
        for number in range(50):
            group.start_soon(one, mint(f"made up {number}"))
    assert good.count(True) == 40
    assert issuer.paths.count("/keys") == 1


async def test_a_new_key_is_found_and_a_withdrawn_one_falls(issuer: Issuer) -> None:
    time = [0.0]
    verifier = issuer.verifier(now=lambda: time[0])
    assert await verifier.verify_token(mint())
    issuer.keys = {"r2": OTHER}
    # At most one look in ten seconds, whatever is asked for.
    assert await verifier.verify_token(mint("r2", OTHER)) is None
    time[0] = 11
    assert await verifier.verify_token(mint("r2", OTHER))
    assert await verifier.verify_token(mint()) is None
    issuer.keys = {}
    time[0] = 500
    assert await verifier.verify_token(mint("r2", OTHER))
    time[0] = 700
    assert await verifier.verify_token(mint("r2", OTHER)) is None


async def test_while_the_issuer_is_away_its_keys_go_on_for_a_day(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    time = [0.0]
    verifier = issuer.verifier(now=lambda: time[0])
    assert await verifier.verify_token(mint())
    answers = [Response(status_code=503), Response("<html>"), JSONResponse([]), JSONResponse({"keys": [1]})]
    for number, answer in enumerate(answers, 1):
        issuer.answer = lambda _path, answer=answer: answer
        time[0] = 3_600.0 * number
        assert await verifier.verify_token(mint())
    assert "PP_OAUTH_ISSUER could not be fetched: HTTPStatusError" in caplog.text
    time[0] = 90_000
    assert await verifier.verify_token(mint()) is None


async def test_nobody_waits_for_a_look_at_old_keys(issuer: Issuer) -> None:
    time = [0.0]
    verifier = issuer.verifier(now=lambda: time[0])
    assert await verifier.verify_token(mint())
    time[0] = 601
    order: list[str] = []

    async def first() -> None:
        assert await verifier.verify_token(mint())
        order.append("the one who looks")

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        while not verifier._lock.locked():
            await anyio.lowlevel.checkpoint()
        assert await verifier.verify_token(mint())
        order.append("the one who comes later")
    assert order == ["the one who comes later", "the one who looks"]


async def test_the_issuers_metadata(issuer: Issuer) -> None:
    found = "/acme/.well-known/openid-configuration"

    def openid(path: str) -> Response | None:
        if path == found:
            return JSONResponse({"issuer": ISSUER, "jwks_uri": "https://login.example.com/keys"})
        return None if path == "/keys" else Response(status_code=404)

    issuer.answer = openid
    assert await issuer.verifier().verify_token(mint())
    assert issuer.paths == ["/.well-known/oauth-authorization-server/acme", found, "/keys"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example.com", "jwks_uri": "https://login.example.com/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://login.example.com/keys"},
        {"issuer": ISSUER},
        {},
    ],
)
async def test_metadata_that_is_not_believed(metadata: dict[str, str], issuer: Issuer) -> None:
    issuer.answer = lambda path: None if path == "/keys" else JSONResponse(metadata)
    assert await issuer.verifier().verify_token(mint()) is None
    assert "/keys" not in issuer.paths


async def test_keys_at_an_address_of_their_own(issuer: Issuer) -> None:
    assert await issuer.verifier(jwks_uri="https://login.example.com/keys").verify_token(mint())
    assert issuer.paths == ["/keys"]


# --- the file of tokens -------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


async def test_a_new_token_is_good_and_the_file_keeps_only_its_hash(file: Path) -> None:
    jane = new_token(file, "jane", ["pp:read"])
    sam = new_token(file, "sam@acme.example", ["pp:read", "pp:write", "pp:destroy"], date(2030, 1, 31))
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text(encoding="utf-8")
    assert jane not in text
    assert sam not in text
    assert text.splitlines()[1].endswith(" pp:read,pp:write,pp:destroy expires 2030-01-31")
    tokens = StaticTokens(file)
    one, other = await tokens.verify_token(jane), await tokens.verify_token(sam)
    assert one is not None
    assert other is not None
    assert (one.client_id, one.subject, one.scopes, one.expires_at) == ("jane", "jane", ["pp:read"], None)
    assert (other.subject, other.expires_at) == ("sam@acme.example", 1_896_134_400)
    for wrong in ("", jane[:-1], jane + "x", jane.upper(), "sha256:" + text.split("sha256:")[1][:64], "\ud800"):
        assert await tokens.verify_token(wrong) is None


@pytest.mark.parametrize(("today", "good"), [(date(2026, 3, 10), True), (date(2026, 3, 11), False)])
async def test_the_last_day_counts(today: date, good: bool, file: Path) -> None:
    token = new_token(file, "jane", ["pp:read"], date(2026, 3, 10))
    assert (await StaticTokens(file, lambda: today).verify_token(token) is not None) is good


async def test_the_file_is_read_again_when_it_changes(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    jane, sam = new_token(file, "jane", ["pp:read"]), new_token(file, "sam", ["pp:read"])
    tokens = StaticTokens(file)
    first, second = file.read_text(encoding="utf-8").splitlines()
    file.write_text(f"# jane left\n  # {first}\n\n{second}  # sam stays\n", encoding="utf-8")
    assert await tokens.verify_token(jane) is None
    assert await tokens.verify_token(sam)
    file.write_text(f"{first}\n{second} forever\n", encoding="utf-8")
    assert await tokens.verify_token(jane)
    assert await tokens.verify_token(sam) is None
    assert "line 2 is not of the form" in caplog.text
    os.chmod(file, 0o644)
    file.write_text(f"{second}\n", encoding="utf-8")
    assert await tokens.verify_token(sam) is None
    assert "chmod 600" in caplog.text
    file.unlink()
    assert await tokens.verify_token(sam) is None
    lines = len(caplog.records)
    assert await tokens.verify_token(sam) is None
    assert len(caplog.records) == lines


HEX = "0" * 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no token. Make one with: pp-mcp token new NAME"),
        ("# nothing\n", "holds no token"),
        ("jane\n", "line 1 is not of the form"),
        (f"jane {HEX} pp:read\n", "line 1 is not of the form"),
        (f"jane sha256:{HEX[1:]} pp:read\n", "line 1 is not of the form"),
        (f"jane sha256:{HEX} pp:read,pp:admin\n", "line 1 has the unknown scope 'pp:admin'"),
        (f"jane sha256:{HEX} pp:read,\n", "line 1 has the unknown scope ''"),
        (f"jane sha256:{HEX} pp:read expires 2026-02-30\n", "line 1"),
        (f"jane sha256:{HEX} pp:read expires soon\n", "line 1 is not of the form"),
        (f"-jane sha256:{HEX} pp:read\n", "line 1 is not of the form"),
        (f"jane sha256:{HEX} pp:read\njane sha256:{'1' * 64} pp:read\n", "line 2 has the name or the token"),
        (f"jane sha256:{HEX} pp:read\nsam sha256:{HEX} pp:read\n", "line 2 has the name or the token"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, words: str, file: Path) -> None:
    file.touch(0o600)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Refused) as caught:
        StaticTokens(file)
    assert caught.value.message.startswith("PP_HTTP_TOKENS_FILE: ")
    assert words in caught.value.message


def test_a_file_that_others_read_or_that_is_none(file: Path) -> None:
    with pytest.raises(Refused, match="No such file"):
        StaticTokens(file)
    with pytest.raises(Refused, match="not a regular file"):
        StaticTokens(file.parent)
    new_token(file, "jane", ["pp:read"])
    for mode in (0o640, 0o604, 0o606):
        file.chmod(mode)
        with pytest.raises(Refused, match=f"Run: chmod 600 {file}"):
            StaticTokens(file)
    file.chmod(0o600)
    file.write_bytes(b"\xff\xfe\n")
    with pytest.raises(Refused, match="it is not text"):
        StaticTokens(file)


@pytest.mark.parametrize("name", ["", "jane doe", "-jane", "jane\n", "a" * 65, "jane#1"])
def test_a_name_that_is_none(name: str, file: Path) -> None:
    with pytest.raises(Refused, match="A token's name has"):
        new_token(file, name, ["pp:read"])
    assert not file.exists()


def test_a_file_is_added_to_only_where_it_is_sound(file: Path) -> None:
    new_token(file, "jane", ["pp:read"])
    with pytest.raises(Refused, match="has a token named jane already"):
        new_token(file, "jane", ["pp:read"])
    # An editor may have left out the last line's end.
    file.write_text(file.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    new_token(file, "sam", ["pp:read"])
    assert [one.name for one in read_tokens(file)[0]] == ["jane", "sam"]
    before = file.read_text(encoding="utf-8") + "what is this\n"
    file.write_text(before, encoding="utf-8")
    with pytest.raises(Refused, match="line 3 is not of the form"):
        new_token(file, "rosa", ["pp:read"])
    assert file.read_text(encoding="utf-8") == before
    with pytest.raises(Refused, match="cannot be written"):
        new_token(file.parent / "no" / "folder", "rosa", ["pp:read"])


async def test_either_kind_of_token_opens(file: Path, issuer: Issuer) -> None:
    token = new_token(file, "jane", ["pp:read"])
    both = FirstOf([StaticTokens(file), issuer.verifier()])
    static, oauth = await both.verify_token(token), await both.verify_token(mint())
    assert static is not None
    assert oauth is not None
    assert static.subject == oauth.subject == "jane"
    assert await both.verify_token("other") is None
    # A token of the file asks nobody.
    issuer.paths.clear()
    assert await FirstOf([StaticTokens(file), issuer.verifier()]).verify_token(token)
    assert issuer.paths == []
