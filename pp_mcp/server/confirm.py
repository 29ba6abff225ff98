"""Confirm tokens: an HMAC over what a preview showed.

It covers tool, arguments, every thing they name, the target's state, effects, caller, tenant and expiry. A token can be
checked by every process that has the key, and whatever changed since leads to a new preview. That it is good only once
holds within a process: spent ones are remembered there for as long as they would be valid. A model can hand the token
back by itself: it makes sure that what is done is what was shown, not that a person saw it.
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
from typing import Any, Generic, Literal, TypeVar

from pp_mcp.answers import Named
from pp_mcp.plan import Plan

T = TypeVar("T")

Policy = Literal["token", "elicit", "person", "block", "allow"]

LIFETIME = 600
"""Seconds a confirm token is good for."""

MOST_STARTS, MOST_SPENT = 50, 100_000
"""Previews of bulk work, and spent tokens, that are remembered."""

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


class Remembered(Generic[T]):
    """What this process remembers of tokens until they expire, at most `most` of them, the oldest forgotten first."""

    def __init__(self, now: Callable[[], float], most: int) -> None:
        self._now, self._most = now, most
        self._values: dict[str, tuple[float, T]] = {}

    def put(self, token: str, value: T) -> None:
        now = self._now()
        kept = [(one, held) for one, held in self._values.items() if held[0] > now][-self._most + 1 :]
        self._values = {**dict(kept), token.strip(): (now + LIFETIME, value)}

    def get(self, token: str) -> T | None:
        expiry, value = self._values.get(token.strip(), (0.0, None))
        return value if expiry > self._now() else None

    def drop(self, token: str) -> None:
        self._values.pop(token.strip(), None)


class Confirmer:
    """Mints and checks confirm tokens. All replicas share the `keys`: the first signs, each is accepted. `tenant` keeps
    the tokens of two tenants apart."""

    def __init__(
        self, keys: Sequence[bytes], tenant: str, policy: Policy = "token", now: Callable[[], float] = time.time
    ) -> None:
        purpose = b"pp-mcp confirm\0" + tenant.encode() + b"\0"
        self._keys = [hashlib.sha256(purpose + key).digest() for key in keys]
        self._now = now
        self.policy = policy
        self.starts = Remembered[Start](now, MOST_STARTS)
        """What the previews of bulk tools read, by their tokens."""
        self._spent = Remembered[bool](now, MOST_SPENT)

    def mint(self, binding: Binding) -> tuple[str, str]:
        """A token for what is previewed now, unlike any other, and when it expires (ISO 8601, UTC)."""
        expiry, nonce = int(self._now()) + LIFETIME, secrets.token_urlsafe(6)
        moment = datetime.fromtimestamp(expiry, UTC).isoformat().replace("+00:00", "Z")
        return f"{expiry:x}.{nonce}.{_signature(self._keys[0], expiry, nonce, binding)}", moment

    def fits(self, token: str, binding: Binding) -> bool:
        """Whether the token was minted for exactly this, less than ten minutes ago, and is not spent."""
        text, nonce, signature = [*token.strip().split(".", 2), "", ""][:3]
        try:
            expiry = int(text, 16)
        except ValueError:
            return False
        if not self._now() < expiry <= self._now() + LIFETIME or not self.is_unspent(token):
            return False
        given = signature.encode(errors="replace")
        good = [_signature(key, expiry, nonce, binding).encode() for key in self._keys]
        return any(hmac.compare_digest(given, one) for one in good)

    def is_unspent(self, token: str) -> bool:
        """Whether the token was not used yet, in this process."""
        return not self._spent.get(token)

    def spend(self, token: str) -> None:
        """From now on the token fits nothing."""
        self._spent.put(token, True)

    def give_back(self, token: str) -> None:
        """The token was not needed after all."""
        self._spent.drop(token)


def _signature(key: bytes, expiry: int, nonce: str, binding: Binding) -> str:
    signed = f"{expiry:x}|{nonce}|{binding.digest()}".encode(errors="replace")
    return urlsafe_b64encode(hmac.digest(key, signed, "sha256")[:18]).decode()
