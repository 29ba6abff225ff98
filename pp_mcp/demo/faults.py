"""Faults: what a network and a busy API do to a client, deliberate and repeatable."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

_SHARES: Mapping[str, str] = {
    "429": "rate_limited",
    "429-bare": "rate_limited_bare",
    "5xx": "server_error",
    "5xx-after": "server_error_after",
    "drop-before": "drop_before",
    "drop-after": "drop_after",
    "truncate": "truncate",
    "garbage": "garbage",
    "wrong-type": "wrong_type",
}
"""Faults of which each request gets at most one, and the field with the share of requests that get it."""

SERVER_ERRORS = ("500", "502", "503", "504")


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise ValueError(text)
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


def _burst(text: str) -> tuple[int, int]:
    every, _, failing = text.partition("/")
    burst = (int(every), int(failing))
    if not 0 <= burst[1] <= burst[0] or burst[0] < 1:
        raise ValueError(text)
    return burst


@dataclass(frozen=True)
class _Scripted:
    name: str
    writes_only: bool
    path: str


@dataclass
class Faults:
    """Everything is off by default. Shares are between 0 and 1; which requests are hit depends on `seed` alone.

    Faults hit requests that passed the checks of token, permission and rate limit.
    """

    latency: float = 0.0
    """Extra seconds that each request takes."""
    rate_limited: float = 0.0
    rate_limited_bare: float = 0.0
    server_error: float = 0.0
    server_error_after: float = 0.0
    server_error_burst: tuple[int, int] | None = None
    """(20, 10): the last 10 of every 20 requests fail."""
    drop_before: float = 0.0
    drop_after: float = 0.0
    truncate: float = 0.0
    garbage: float = 0.0
    wrong_type: float = 0.0
    revoke_after: int | None = None
    """Number of requests after which every token is refused."""
    drift: float = 0.0
    seed: int = 0

    _script: deque[_Scripted] = field(default_factory=deque[_Scripted], init=False, repr=False, compare=False)
    _draws: random.Random = field(default_factory=random.Random, init=False, repr=False, compare=False)
    _seen: int = field(default=0, init=False, repr=False, compare=False)
    _accepted: int = field(default=0, init=False, repr=False, compare=False)
    _errors: int = field(default=0, init=False, repr=False, compare=False)

    NAMES: ClassVar[Mapping[str, str]] = {
        "latency": "extra seconds that each request takes: latency=0.05",
        "429": "share of requests refused as rate limited, with Retry-After: 429=0.1",
        "429-bare": "the same without Retry-After: 429-bare=0.1",
        "5xx": "share answered 500, 502, 503 or 504 before anything took effect: 5xx=0.1",
        "5xx-after": "share answered 5xx although the write took effect: 5xx-after=0.05",
        "5xx-burst": "the last K of every N requests fail: 5xx-burst=20/10",
        "drop-before": "share whose connection breaks before anything took effect: drop-before=0.05",
        "drop-after": "share whose connection breaks after the write took effect: drop-after=0.05",
        "truncate": "share whose answer is cut in the middle (the write took effect): truncate=0.05",
        "garbage": "share answered by a proxy with an HTML page, status 200 or 502, nothing applied: garbage=0.05",
        "wrong-type": "share whose answer is a list where an object should be (the write took effect): wrong-type=0.05",
        "revoke-after": "requests after which the token is refused: revoke-after=50",
        "drift": "share of pages after the first before which rows are added or removed: drift=0.2",
    }
    """Every fault by the name it has on the command line, with a line of help."""

    def __post_init__(self) -> None:
        if sum(getattr(self, name) for name in _SHARES.values()) > 1:
            raise ValueError("The shares of the faults add up to more than 1.")
        self._draws.seed(self.seed)

    @classmethod
    def parse(cls, specs: Iterable[str], *, seed: int = 0) -> Faults:
        """Faults from their textual form, e.g. `["latency=0.05", "5xx-burst=20/10"]`; ValueError lists the names."""
        readers: dict[str, tuple[str, Callable[[str], Any]]] = {
            **{name: (attribute, _share) for name, attribute in _SHARES.items()},
            "latency": ("latency", _seconds),
            "5xx-burst": ("server_error_burst", _burst),
            "revoke-after": ("revoke_after", _count),
            "drift": ("drift", _share),
        }
        values: dict[str, Any] = {"seed": seed}
        for spec in specs:
            name, _, text = spec.strip().partition("=")
            try:
                attribute, reader = readers[name]
                values[attribute] = reader(text)
            except (KeyError, ValueError) as wrong:
                valid = "\n".join(f"  {known}: {help_line}" for known, help_line in cls.NAMES.items())
                raise ValueError(f"Not a fault: {spec!r}. Valid ones are:\n{valid}") from wrong
        return cls(**values)

    def script(self, names: Iterable[str], *, writes_only: bool = False, path: str = "") -> None:
        """Queue faults for the next requests, one each, before any drawn by share.

        Names are those of the shares, "drift", one of the statuses "500", "502", "503", "504", or "ok" for a request
        that goes through. An entry waits for the next request that it fits: a write where `writes_only`, and with
        `path` in its path (without the prefix).
        """
        entries = [_Scripted(name, writes_only, path) for name in names]
        valid = (*_SHARES, "drift", *SERVER_ERRORS, "ok")
        for entry in entries:
            if entry.name not in valid:
                raise ValueError(f"Cannot script {entry.name!r}. Valid names are: {', '.join(valid)}.")
        self._script.extend(entries)

    @property
    def scripted(self) -> int:
        """How many scripted faults are still waiting for a request."""
        return len(self._script)

    def revokes(self) -> bool:
        """Counts an authenticated request; answers whether the token now counts as revoked."""
        self._accepted += 1
        return self.revoke_after is not None and self._accepted > self.revoke_after

    def strike(self, *, writes: bool, path: str) -> str | None:
        """The fault for the next request: its name, with "5xx" replaced by a status."""
        self._seen += 1
        drawn = self._scripted_for(writes, path) or self._drawn()
        return self._status() if drawn == "5xx" else None if drawn == "ok" else drawn

    def _scripted_for(self, writes: bool, path: str) -> str | None:
        for entry in self._script:
            if (writes or not entry.writes_only) and entry.path in path:
                self._script.remove(entry)
                return entry.name
        return None

    def _drawn(self) -> str | None:
        if self.server_error_burst is not None:
            every, failing = self.server_error_burst
            if (self._seen - 1) % every >= every - failing:
                return "5xx"
        draw = self._draws.random()
        for name, attribute in _SHARES.items():
            draw -= getattr(self, attribute)
            if draw < 0:
                return name
        return None

    def _status(self) -> str:
        # 503 first: a script that says "5xx" once gets this.
        self._errors += 1
        return SERVER_ERRORS[(self._errors + 1) % len(SERVER_ERRORS)]

    def status(self) -> int:
        """The next 5xx status."""
        return int(self._status())

    def garbage_status(self) -> int:
        """200 and 502 alternately."""
        self._errors += 1
        return 200 if self._errors % 2 else 502

    def drifts(self) -> bool:
        """Whether rows change before the current page is read."""
        return self.drift > 0 and self._draws.random() < self.drift
