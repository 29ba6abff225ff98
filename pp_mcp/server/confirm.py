"""Confirm tokens: an HMAC over what a preview showed.

It covers tool, arguments, every thing they name, the target's state, effects, caller, tenant and expiry. A token can be
checked by every process that has the key, and whatever changed since leads to a new preview. That it is good only once
holds as far as the store reaches, which remembers spent ones for as long as they would be valid. A model can hand the
token back by itself: it makes sure that what is done is what was shown, not that a person saw it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter

from pp_mcp.answers import Json, Named
from pp_mcp.declare import Operation
from pp_mcp.plan import Plan
from pp_mcp.server.store import ProcessStore, Store

Policy = Literal["token", "elicit", "person", "block", "allow"]

LIFETIME = 600
"""Seconds a confirm token is good for."""

ACKNOWLEDGEMENTS = frozenset({"confirm_token", "confirm_replace", "confirm_large_removal"})
"""Arguments by which a caller answers a preview; they are not part of what was previewed."""


@dataclass(frozen=True)
class Binding:
    """What a token stands for."""

    tool: str
    arguments: Mapping[str, Any]
    things: Mapping[str, Any]
    """The public_id, or list of them, that each reference in the arguments was resolved to."""
    caller: str
    plan: Plan

    def digest(self) -> str:
        """SHA-256, in hex: the same for the same call by the same caller with the same preview; else another."""
        arguments = {name: value for name, value in self.arguments.items() if name not in ACKNOWLEDGEMENTS}
        plan = self.plan
        shown = [plan.target.model_dump(), plan.state, plan.summary, plan.effects, plan.affected, plan.affected_total]
        whole = [self.tool, arguments, dict(self.things), self.caller, shown]
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()


Consent = Literal["not needed", "token", "person", "allowed"]
"""Why a write may be carried out: it needs no confirming, a token fits, the person agreed, or everything is allowed."""


@dataclass(frozen=True)
class Start:
    """What a confirmed run starts from instead of reading again: what its preview resolved and read."""

    values: dict[str, Any]
    resolved: dict[str, Named]
    kept: Any
    consent: Consent | None = None
    """The consent that a run which had to stop was given; its rest needs no other."""

    def packed(self, operation: Operation) -> Json:
        """As JSON; `operation` says of which types it is."""
        known = _types(operation.function, operation.keeps)
        parts = {**self.values, _KEPT: self.kept, _RESOLVED: self.resolved}
        packed = {
            name: known[name].dump_python(value, mode="json", exclude_unset=True) for name, value in parts.items()
        }
        return {**packed, _CONSENT: self.consent, _TOOL: operation.name}

    @classmethod
    def unpacked(cls, operation: Operation, packed: Json) -> Start:
        """What was packed."""
        known = _types(operation.function, operation.keeps)
        values = {name: known[name].validate_python(value) for name, value in packed.items() if name in known}
        return cls(values=values, kept=values.pop(_KEPT), resolved=values.pop(_RESOLVED), consent=packed[_CONSENT])


_KEPT, _RESOLVED, _CONSENT, _TOOL = "(kept)", "(resolved)", "(consent)", "(tool)"
"""Names that no argument has."""


@cache
def _types(function: Callable[..., Any], keeps: Any) -> dict[str, TypeAdapter[Any]]:
    hints = {**get_type_hints(function, include_extras=True), _KEPT: keeps, _RESOLVED: dict[str, Named | list[Named]]}
    return {name: TypeAdapter(hint) for name, hint in hints.items() if name not in ("call", "return")}


class Confirmer:
    """Mints and checks confirm tokens. All replicas share the `keys`: the first signs, each is accepted. `tenant` keeps
    the tokens of two tenants apart."""

    def __init__(
        self,
        keys: Sequence[bytes],
        tenant: str,
        policy: Policy = "token",
        now: Callable[[], float] = time.time,
        store: Store | None = None,
    ) -> None:
        purpose = b"pp-mcp confirm\0" + tenant.encode() + b"\0"
        self._keys = [hashlib.sha256(purpose + key).digest() for key in keys]
        self._now = now
        self._store: Store = store or ProcessStore(now)
        self.policy = policy

    def mint(self, binding: Binding) -> tuple[str, str]:
        """A token for what is previewed now, unlike any other, and when it expires (ISO 8601, UTC)."""
        expiry, nonce = int(self._now()) + LIFETIME, secrets.token_urlsafe(6)
        moment = datetime.fromtimestamp(expiry, UTC).isoformat().replace("+00:00", "Z")
        return f"{expiry:x}.{nonce}.{_signature(self._keys[0], expiry, nonce, binding)}", moment

    def fits(self, token: str, binding: Binding) -> bool:
        """Whether the token was minted for exactly this, less than ten minutes ago."""
        text, nonce, signature = [*token.strip().split(".", 2), "", ""][:3]
        try:
            expiry = int(text, 16)
        except ValueError:
            return False
        if not self._now() < expiry <= self._now() + LIFETIME:
            return False
        given = signature.encode(errors="replace")
        good = [_signature(key, expiry, nonce, binding).encode() for key in self._keys]
        return any(hmac.compare_digest(given, one) for one in good)

    async def is_spent(self, token: str) -> bool:
        """Whether the token was used."""
        return await self._store.is_claimed(_name(token))

    async def spend(self, token: str) -> bool:
        """From now on the token is spent; False where it was before."""
        return await self._store.claim(_name(token), LIFETIME)

    async def give_back(self, token: str) -> None:
        """The token was not needed after all."""
        await self._store.release(_name(token))

    async def keep(self, token: str, start: Start, operation: Operation) -> None:
        """Keeps what the preview with this token read."""
        await self._store.keep(_name(token), start.packed(operation), LIFETIME)

    async def kept(self, token: str, operation: Operation) -> Start | None:
        """What that was; None where it is not known. The token must still be shown to fit what follows from it."""
        packed = await self._store.kept(_name(token))
        return Start.unpacked(operation, packed) if packed and packed[_TOOL] == operation.name else None


def _signature(key: bytes, expiry: int, nonce: str, binding: Binding) -> str:
    signed = f"{expiry:x}|{nonce}|{binding.digest()}".encode(errors="replace")
    return urlsafe_b64encode(hmac.digest(key, signed, "sha256")[:18]).decode()


def _name(token: str) -> str:
    """What the store knows a token by."""
    return "token:" + hashlib.sha256(token.strip().encode(errors="replace")).hexdigest()
