"""The state of all replicas, in Redis or Valkey (PP_REDIS_URL, extra `redis`).

While it is away, each process goes on with its own state: one warning, and no call fails for it. Values are encrypted
and signed with PP_SECRET_KEY, since previews hold names and e-mail addresses and decide what is written; keys hold
hashes only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pp_mcp.api.limits import SharedBudget, Told
from pp_mcp.server.store import LARGEST_VALUE, PARTS, Count, ProcessStore

log = logging.getLogger("pp_mcp.server")

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds that one answer may take."""

AGAIN = 5.0
"""Seconds until a store that was away is asked again."""

BUSY = 0.05
"""Seconds until asking again where only other requests' answers are waited for."""

_NOW = "local t = redis.call('TIME'); local now = t[1] + t[2] / 1000000;"

_COUNT = f"""{_NOW}
local amount, most, window, parts = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local width = window / parts
local part = math.floor(now / width)
local all, before, oldest = redis.call('HGETALL', KEYS[1]), 0, nil
for i = 1, #all, 2 do
  local at = tonumber(all[i])
  if at <= part - parts then redis.call('HDEL', KEYS[1], all[i])
  else before = before + tonumber(all[i + 1]); if not oldest or at < oldest then oldest = at end end
end
before = math.max(before, 0)
if before + amount <= most then
  if amount ~= 0 then redis.call('HINCRBY', KEYS[1], part, amount) end
  redis.call('EXPIRE', KEYS[1], math.ceil(window) + 1)
  return {{1, before, '0'}}
end
return {{0, before, tostring(oldest and (oldest + parts) * width - now or 0)}}
"""

# KEYS: what the API said last, and the tickets of the requests under way with the time by which each has ended. The end
# of a window is known to lie between `from` and `to`: a request takes its time, and the API tells whole seconds.
_TAKE = f"""{_NOW}
local timeout, pause, busy = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
redis.call('ZREMRANGEBYSCORE', KEYS[2], 0, now)
local out = redis.call('ZCARD', KEYS[2])
local h = redis.call('HMGET', KEYS[1], 'left', 'limit', 'to', 'hold', 'probed', 'told', 'assumed')
local left, to, assumed = tonumber(h[1]), tonumber(h[3]), h[7] == '1'
local hold, probed = tonumber(h[4]) or 0, tonumber(h[5]) or 0
if left and to <= now and not assumed then
  -- Of the new window nothing is told yet: as much fits in as into the last one.
  left, assumed = tonumber(h[2]), true
  redis.call('HSET', KEYS[1], 'left', left, 'assumed', 1)
end
local wait = '0'
if hold > now then wait = tostring(hold - now)
elseif not h[6] and out > 0 then wait = busy
elseif assumed and out >= math.max(left, 1) then wait = busy
elseif left and left <= 0 and not assumed then wait = tostring(to - now)
elseif left and out >= left and not assumed then wait = busy end
if wait ~= '0' and ARGV[5] == '1' and probed + pause <= now then
  redis.call('HSET', KEYS[1], 'probed', now)
  wait = '0'
end
if wait == '0' then
  redis.call('ZADD', KEYS[2], now + timeout, ARGV[1])
  redis.call('EXPIRE', KEYS[1], 7200)
  redis.call('EXPIRE', KEYS[2], 7200)
end
return wait
"""

_END = f"""{_NOW}
local left, limit, reset, hold = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local taken = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or now) - tonumber(ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[7] == '1' then redis.call('HDEL', KEYS[1], 'left', 'hold') end
local h = redis.call('HMGET', KEYS[1], 'left', 'from', 'to', 'hold', 'assumed')
local known, from, to, assumed = tonumber(h[1]), tonumber(h[2]), tonumber(h[3]), h[5] == '1'
local first, last = taken + reset - 1, now + reset
if left and (not known or first > to) then
  redis.call('HSET', KEYS[1], 'left', left, 'limit', limit, 'from', first, 'to', last, 'assumed', 0)
elseif left and last >= from and not assumed then
  -- Answers overtake one another: within one window the lowest figure is the newest.
  redis.call('HSET', KEYS[1], 'left', math.min(left, known), 'from', math.max(first, from), 'to', math.min(last, to))
elseif known and not (left and last < from) then
  -- It may have been counted in the window of which nothing is told yet, or its answer was lost.
  redis.call('HSET', KEYS[1], 'left', known - 1)
end
if hold > 0 then redis.call('HSET', KEYS[1], 'hold', math.max(now + hold, tonumber(h[4]) or 0)) end
if ARGV[8] == '1' then redis.call('HSET', KEYS[1], 'told', 1) end
redis.call('EXPIRE', KEYS[1], 7200)
return 1
"""


class RedisStore:
    """`pp_mcp.server.store.Store` in Redis. `fleet` tells those apart that share nothing, such as tenants; `keys` as
    those that sign confirmations: the first encrypts, all are tried."""

    def __init__(self, url: str, *, fleet: str, keys: Sequence[bytes], own: ProcessStore | None = None) -> None:
        """Connects at the first use. Raises ValueError for an invalid URL."""
        # One more try, for a connection that has gone stale; the usual pauses would hold up every call.
        pool: Any = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, max_connections=32, timeout=PATIENCE, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )  # fmt: skip
        self._redis: Any = Redis.from_pool(pool)
        self._start = f"pp-mcp:{hashlib.sha256(fleet.encode()).hexdigest()[:16]}:"
        sealing = [hashlib.sha256(b"pp-mcp store\0" + key).digest() for key in keys]
        self._seal = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in sealing])
        self._own = own or ProcessStore()
        self._count = self._redis.register_script(_COUNT)
        self._again_at = float("-inf")
        self._is_away = False

    # --- claims -------------------------------------------------------------------------------------------------------

    async def claim(self, key: str, seconds: float) -> bool:
        # Here too: what was claimed while the others could not be told stays claimed when they can.
        if not await self._own.claim(key, seconds):
            return False
        name = self._start + "claim:" + key
        claimed: Any = await self.ask(lambda: self._redis.set(name, b"1", nx=True, px=int(seconds * 1000)), True)
        return bool(claimed)

    async def is_claimed(self, key: str) -> bool:
        if await self._own.is_claimed(key):
            return True
        return bool(await self.ask(lambda: self._redis.exists(self._start + "claim:" + key), 0))

    async def release(self, key: str) -> None:
        await self._own.release(key)
        await self.ask(lambda: self._redis.delete(self._start + "claim:" + key), 0)

    # --- values -------------------------------------------------------------------------------------------------------

    async def keep(self, key: str, value: Any, seconds: float) -> bool:
        text = json.dumps([key, value])
        if len(text) > LARGEST_VALUE:
            return False
        sealed, name = self._seal.encrypt(text.encode()), self._start + "value:" + key
        if await self.ask(lambda: self._redis.set(name, sealed, px=int(seconds * 1000)), None) is None:
            return await self._own.keep(key, value, seconds)
        await self._own.take(key)
        return True

    async def kept(self, key: str) -> Any:
        sealed = await self.ask(lambda: self._redis.get(self._start + "value:" + key), None)
        return self._opened(key, sealed) if sealed else await self._own.kept(key)

    async def take(self, key: str) -> Any:
        own = await self._own.take(key)
        sealed = await self.ask(lambda: self._redis.getdel(self._start + "value:" + key), None)
        return self._opened(key, sealed) if sealed else own

    def _opened(self, key: str, sealed: bytes) -> Any:
        """The value, if it is one of ours and was kept under this key."""
        try:
            name, value = json.loads(self._seal.decrypt(sealed))
        except InvalidToken:
            return None
        return value if name == key else None

    async def keys(self, start: str) -> list[str]:
        whole = self._start + "value:"
        # No part of a pattern has a meaning here.
        pattern = whole + re.sub(r"([*?\[\]\\^])", r"\\\1", start) + "*"

        async def found() -> list[str]:
            return [cast(bytes, one).decode().removeprefix(whole) async for one in self._redis.scan_iter(pattern, 1000)]

        return sorted({*await self.ask(found, list[str]()), *await self._own.keys(start)})

    # --- counts -------------------------------------------------------------------------------------------------------

    async def count(self, key: str, amount: int, most: int, seconds: float) -> Count:
        async def counted() -> Count:
            arguments = [amount, most, seconds, PARTS]
            taken, before, wait = await self._count(keys=[self._start + "count:" + key], args=arguments)
            return Count(bool(taken), int(before), float(wait))

        found = await self.ask(counted, None)
        if found is None:
            return await self._own.count(key, amount, most, seconds)
        if found.taken and amount:
            # This process's part of the count, in case it has to go on by itself.
            await self._own.count(key, amount, 1 << 53, seconds)
        return found

    def rate_budget(self, token: str, *, timeout: float, max_pause: float) -> SharedBudget:
        name = self._start + "rate:" + hashlib.sha256(token.encode()).hexdigest()[:32]
        return RedisBudget(self, self._redis, name, timeout, max_pause)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def is_there(self) -> bool:
        return await self.ask(self._redis.ping, None) is not None

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """What the store answers; `otherwise` while it is away."""
        if time.monotonic() < self._again_at:
            return otherwise
        try:
            found = await question()
        except (RedisError, OSError) as error:
            self._again_at = time.monotonic() + AGAIN
            if not self._is_away:
                log.warning("The shared store is away (%s): this process goes on by itself.", type(error).__name__)
            self._is_away = True
            return otherwise
        if self._is_away:
            log.warning("The shared store is back.")
        self._is_away = False
        return found


class RedisBudget:
    """One rate budget for all processes that share an API token: what the API said last, less what is under way."""

    def __init__(self, store: RedisStore, redis: Any, name: str, timeout: float, max_pause: float) -> None:
        # One hash slot for both, as a cluster wants it.
        self._keys = [f"{{{name}}}", f"{{{name}}}:out"]
        # A little more than a request takes: what is still under way then died with its process.
        self._store, self._timeout, self._max_pause = store, timeout + 5, max_pause
        self._take, self._end = redis.register_script(_TAKE), redis.register_script(_END)

    async def take(self, ticket: str, *, is_probe: bool) -> float:
        arguments = [ticket, self._timeout, self._max_pause, BUSY, int(is_probe)]
        return float(await self._store.ask(lambda: self._take(keys=self._keys, args=arguments), 0))

    async def end(self, ticket: str, told: Told | None, *, is_proof: bool) -> None:
        said = told or Told()
        figures = ["" if said.left is None else said.left, said.limit, said.reset, said.hold]
        arguments = [ticket, self._timeout, *figures, int(is_proof), int(told is not None)]
        await self._store.ask(lambda: self._end(keys=self._keys, args=arguments), 0)
