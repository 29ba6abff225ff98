"""Confirm tokens: an HMAC over what a preview showed.

It covers tool, arguments, the target's state, caller, tenant and expiry. Nothing is stored, so every replica with the
same key can check a token, and whatever changed since leads to a new preview. A model can hand the token back by
itself: it makes sure that what is done is what was shown, not that a person saw it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pp_mcp.plan import Plan

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
    caller: str
    plan: Plan

    def digest(self) -> str:
        """SHA-256, in hex: the same for the same tool, arguments, caller, target, state and effects; else another."""
        arguments = {name: value for name, value in self.arguments.items() if name not in ACKNOWLEDGEMENTS}
        plan = self.plan
        shown = [self.tool, arguments, self.caller, plan.target.model_dump(), plan.state, plan.summary, plan.effects]
        return hashlib.sha256(json.dumps(shown, sort_keys=True, default=str).encode()).hexdigest()


class Confirmer:
    """Mints and checks confirm tokens. `key` is shared by all replicas; `tenant` keeps tokens of two tenants apart."""

    def __init__(self, key: bytes, tenant: str, policy: Policy = "token", now: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"pp-mcp confirm\0" + tenant.encode() + b"\0" + key).digest()
        self._now = now
        self.policy = policy

    def mint(self, binding: Binding) -> tuple[str, str]:
        """A token for what is previewed now, and when it expires (ISO 8601, UTC)."""
        expiry = int(self._now()) + LIFETIME
        moment = datetime.fromtimestamp(expiry, UTC).isoformat().replace("+00:00", "Z")
        return f"{expiry:x}.{self._sign(expiry, binding)}", moment

    def fits(self, token: str, binding: Binding) -> bool:
        """Whether the token was minted for exactly this, less than ten minutes ago."""
        text, _, signature = token.strip().partition(".")
        try:
            expiry = int(text, 16)
        except ValueError:
            return False
        if not self._now() < expiry <= self._now() + LIFETIME:
            return False
        return hmac.compare_digest(signature.encode(errors="replace"), self._sign(expiry, binding).encode())

    def _sign(self, expiry: int, binding: Binding) -> str:
        mac = hmac.new(self._key, f"{expiry:x}|{binding.digest()}".encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(mac[:18]).decode()
