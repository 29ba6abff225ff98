"""When a request is sent again: the policy, as pure functions.

fault                                       | GET | PUT, DELETE, assign, bulk (un)archive | other writes
--------------------------------------------|-----|---------------------------------------|-------------
429: nothing happened                       | yes | yes                                   | yes
connecting failed, no free connection       | yes | yes                                   | yes
5xx, broken connection, timeout, unreadable | yes | yes                                   | never
other answers                               | no  | no                                    | no

429 is repeated as long as the call's time budget allows the wait, everything else up to ATTEMPTS times.
"""

from collections.abc import Callable

from pp_mcp.api.routes import Route
from pp_mcp.errors import (
    AnswerLost,
    Conflict,
    NotFound,
    NotReached,
    PlusPlusError,
    RateLimited,
    Rejected,
    ServerFailure,
    UnexpectedAnswer,
)

ATTEMPTS = 3

UNREADABLE = "unreadable"
"""Code of an UnexpectedAnswer with a 2xx status whose body may be readable next time."""

LONGEST_PAUSE = 30.0
"""Seconds."""


def may_repeat(route: Route, error: PlusPlusError) -> bool:
    """Whether the operation may be sent again after `error`."""
    return nothing_happened(error) or (route.repeatable and is_passing(error))


def nothing_happened(error: PlusPlusError) -> bool:
    """Whether the request surely had no effect and may soon succeed."""
    return isinstance(error, NotReached | RateLimited)


def is_passing(error: PlusPlusError) -> bool:
    """Whether the fault lies in transport or server, so that the same request may succeed when sent again."""
    unreadable = isinstance(error, UnexpectedAnswer) and error.status <= 299 and error.code == UNREADABLE
    return unreadable or isinstance(error, AnswerLost | ServerFailure)


def settles(error: PlusPlusError) -> bool:
    """Whether `error`, after a repeated write, may be told in place of the fault that made it be repeated.

    An answer about the thing itself tells what became of it, another loss or failure tells as much as the first.
    One about the token or the rate, or a failure to connect, says nothing of the attempt before.
    """
    return isinstance(error, NotFound | Conflict | Rejected | ServerFailure | AnswerLost)


def pause(attempt: int, chance: Callable[[], float], *, first: float = 0.25) -> float:
    """Seconds to wait after attempt number `attempt`: doubling from `first`, up to twice that by chance (0 to 1)."""
    return min(LONGEST_PAUSE, first * 2 ** (attempt - 1) * (1 + chance()))
