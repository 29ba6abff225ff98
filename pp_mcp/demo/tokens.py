"""API tokens: creation and check. Only hashes are stored (documented)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import cast

from pp_mcp.demo.bodies import ApiTokenCreate
from pp_mcp.demo.calls import Answer, Call
from pp_mcp.demo.errors import invalid, invalid_token, unauthenticated
from pp_mcp.demo.moments import shown
from pp_mcp.demo.store import Store


def hashed(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def create_api_token(call: Call) -> Answer:
    """POST /auth/tokens: the only answer with the full token. It acts with its creator's role (documented)."""
    body = call.body(ApiTokenCreate)
    now = call.store.now()
    if body.expires_at is not None and body.expires_at <= now:
        raise invalid({"expires_at": ["Must be in the future."]})
    token = "pp_" + secrets.token_urlsafe(30)
    public_id = call.store.new_id()
    call.store.insert(
        "tokens",
        {
            "public_id": public_id,
            "name": body.name,
            "token_hash": hashed(token),
            "role": call.role,
            "expires_at": body.expires_at,
            "created": now,
        },
    )
    payload = {
        "public_id": public_id,
        "name": body.name,
        "token": token,
        "expires_at": shown(body.expires_at),
        "created": shown(now),
    }
    return Answer(201, payload)


def bearer(headers: list[str]) -> str:
    """The token in the Authorization headers; 401 unless there is exactly one."""
    if len(headers) == 1:
        scheme, _, token = headers[0].partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token and " " not in token:
            return token
    raise unauthenticated()


def role_of(store: Store, token: str, own_token: str, own_role: str) -> str:
    """The role that a token acts with; 401 for one that is unknown or has expired."""
    if hmac.compare_digest(token.encode(), own_token.encode()):
        return own_role
    row = store.one("SELECT role, expires_at FROM tokens WHERE token_hash = ?", hashed(token))
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= store.now()):
        raise invalid_token()
    return cast(str, row["role"])
