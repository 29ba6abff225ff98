"""The API as typed verbs: one record, one page, a write, a deletion, a batch."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from pydantic import BaseModel, SecretStr, ValidationError

from pp_mcp.api.limits import SYSTEM_CLOCK, Clock
from pp_mcp.api.routes import ROUTES, Route, check_id, fill
from pp_mcp.api.send import Answer, Exchange, Exchanged, Line, Request, Unreadable, Wire, request_id_of
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import BulkAnswer, Page, read_bulk, read_page

if TYPE_CHECKING:
    import httpx2


LARGEST_KEPT = 64 * 1024
"""Bytes of one answer; an assignment has about one thousand."""


@dataclass(frozen=True)
class Kept:
    etag: str
    answer: Answer


class EtagCache:
    """The last `size` answers that came with an ETag, by id. Each use asks the API whether it still holds.

    That one assignment is answered with 304 when unchanged is documented; that ETag carries it is inferred.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, public_id: str) -> Kept | None:
        kept = self._kept.get(public_id)
        if kept is not None:
            self._kept.move_to_end(public_id)
        return kept

    def keep(self, public_id: str, answer: Answer) -> None:
        etag = answer.headers.get("etag", "")
        if not etag or len(etag) > 256 or len(answer.body) > LARGEST_KEPT:
            self.forget(public_id)
            return
        self._kept[public_id] = Kept(etag, answer)
        self._kept.move_to_end(public_id)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def forget(self, public_id: str) -> None:
        self._kept.pop(public_id, None)


T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LARGEST_PAGE = 100
LARGEST_BATCH = 100

Filter = str | bool | int | Sequence[str] | None


@dataclass(frozen=True)
class Written(Generic[T]):
    """What came of a write: the record as read back, the HTTP status, how often it was sent."""

    value: T
    status: int
    attempts: int
    request_id: str | None

    @property
    def retried(self) -> bool:
        """Whether it was sent more than once."""
        return self.attempts > 1


class Client:
    """The way to one tenant; one per process, for its calls share the connections and the rate budget.

    `base_url` is the whole of it, such as https://acme.plusplus.app/public_api/v2; `timeout` bounds each request and
    `budget` each call, both in seconds; `max_concurrency` requests are under way at most. `chance` gives numbers from
    0 to 1 that spread repeated requests. Raises ValueError for a base URL that is none.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        timeout: float = 30.0,
        max_concurrency: int = 8,
        budget: float = 45.0,
        routes: Mapping[str, Route] = ROUTES,
        transport: "httpx2.AsyncBaseTransport | None" = None,
        clock: Clock = SYSTEM_CLOCK,
        user_agent: str = "pp-mcp",
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.budget = budget
        self.routes = routes
        self._wire = Wire(
            base_url=base_url, token=token, user_agent=user_agent, connections=max_concurrency, transport=transport
        )
        self._line = Line(self._wire, clock, timeout=timeout, max_concurrency=max_concurrency, chance=chance)
        self._cache = EtagCache()

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"

    def call(self, *, budget: float | None = None) -> "Api":
        """The view one tool call has of the API; its time budget, in seconds, begins now."""
        return Api(Exchange(self._line, self.budget if budget is None else budget), self.routes, self._cache)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._wire.aclose()


class Api:
    """The API within one call. Every method raises the errors of `pp_mcp.errors`, and no others.

    `operation` is an operationId of `routes`. Requests are repeated as `retry.py` says, within the call's budget.
    """

    def __init__(self, exchange: Exchange, routes: Mapping[str, Route], cache: EtagCache) -> None:
        self._exchange = exchange
        self._routes = routes
        self._cache = cache

    @property
    def routes(self) -> Mapping[str, Route]:
        return self._routes

    @property
    def request_ids(self) -> list[str]:
        """Ids of the answers so far, oldest first; the last 1,000."""
        return self._exchange.request_ids

    @property
    def requests(self) -> int:
        """How many requests were sent, repeated ones included."""
        return self._exchange.requests

    @property
    def remaining(self) -> float:
        """Seconds left of the call's budget, never below 0."""
        return self._exchange.remaining

    async def one(self, operation: str, model: type[M], public_id: str) -> M:
        """One record, bare or under `data` (both documented)."""
        kept = self._cache.get(public_id) if operation == "get_assignment" else None
        headers = {"if-none-match": kept.etag} if kept else {}

        def read(answer: Answer) -> M:
            return _record(model, kept.answer if kept and answer.status == 304 else answer)

        done = await self._run(operation, read, public_id=public_id, headers=headers)
        if operation == "get_assignment" and done.answer.status != 304:
            self._cache.keep(public_id, done.answer)
        return done.value

    async def page(
        self, operation: str, model: type[M], *, page: int = 1, page_size: int = 25, **filters: Filter
    ) -> Page[M]:
        """One page of a list, 1-based, of 1 to 100 rows. Filters have our names.

        None leaves a filter out, as an empty sequence does; a sequence is sent comma-separated. An empty text is
        refused: the API would likely ignore it and answer with everything.
        """
        _check_range("page", page, 1_000_000)
        _check_range("page_size", page_size, LARGEST_PAGE)
        asked: dict[str, Filter] = {**filters, "page": page, "page_size": page_size}

        def read(answer: Answer) -> Page[M]:
            try:
                rows = read_page(answer.json(), page=page, page_size=page_size)
            except ValueError as mistake:
                raise Unreadable(str(mistake)) from None
            items = [_validated(model, row) for row in rows.items]
            return Page(items, rows.page, rows.page_size, rows.total_count, rows.total_pages)

        return (await self._run(operation, read, filters=asked)).value

    async def write(
        self, operation: str, model: type[M], body: Mapping[str, Any] | None = None, *, public_id: str | None = None
    ) -> Written[M]:
        """Creates or changes; gives the record as the API answers it, bare or under `data`."""
        return await self._write(operation, lambda answer: _record(model, answer), body, public_id=public_id)

    async def erase(self, operation: str, *, public_id: str) -> Written[None]:
        """Deletes. If the answer was lost and the repeated request finds nothing, it is deleted: no error."""
        return await self._write(operation, _nothing, None, public_id=public_id, gone=lambda _: None)

    async def bulk(self, operation: str, public_ids: Sequence[str]) -> BulkAnswer:
        """One batch of up to 100 content items; an outcome for each of them, in the same order."""
        if not 1 <= len(public_ids) <= LARGEST_BATCH:
            what = f"must name 1 to {LARGEST_BATCH} items"
            raise InvalidArgument(f"items {what}.", field_errors={"items": [what]})
        ids = [check_id(one, argument="items") for one in public_ids]

        def read(answer: Answer) -> BulkAnswer:
            try:
                return read_bulk(answer.json(), ids)
            except ValueError as mistake:
                raise Unreadable(str(mistake)) from None

        done = await self._write(operation, read, {"items": [{"public_id": one} for one in ids]})
        return done.value

    async def _write(
        self,
        operation: str,
        read: Callable[[Answer], T],
        body: Mapping[str, Any] | None,
        *,
        public_id: str | None = None,
        gone: Callable[[Answer], T] | None = None,
    ) -> Written[T]:
        try:
            done = await self._run(operation, read, body=body, public_id=public_id, gone=gone)
        finally:
            if public_id is not None:
                self._cache.forget(public_id)
        return Written(done.value, done.answer.status, done.attempts, request_id_of(done.answer))

    async def _run(
        self,
        operation: str,
        read: Callable[[Answer], T],
        *,
        public_id: str | None = None,
        filters: Mapping[str, Filter] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        gone: Callable[[Answer], T] | None = None,
    ) -> Exchanged[T]:
        route = self._routes[operation]
        query = _query(operation, route, filters or {})
        request = Request(route.method, fill(route.path, public_id), query, _content(body), headers or {})
        return await self._exchange.run(operation, route, request, read, gone=gone)


def _record(model: type[M], answer: Answer) -> M:
    body = answer.json()
    inner: object = cast(dict[str, object], body).get("data") if isinstance(body, dict) else None
    return _validated(model, cast(object, inner if isinstance(inner, dict) else body))


def _nothing(answer: Answer) -> None:
    # A proxy's error page may come with 200: only an empty answer or an object is the API's.
    if answer.body and not isinstance(answer.json(), dict):
        raise Unreadable("JSON with an object was expected")


def _validated(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as mistake:
        faults = mistake.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{'.'.join(str(step) for step in fault['loc']) or 'it'}: {fault['msg']}" for fault in faults[:3]]
        raise Unreadable(f"not a {model.__name__} ({'; '.join(lines)})") from None


def _query(operation: str, route: Route, filters: Mapping[str, Filter]) -> dict[str, str]:
    query: dict[str, str] = {}
    wrong: dict[str, list[str]] = {}
    for name, value in filters.items():
        if name not in route.query:
            wrong[name] = [f"is no filter of {operation}"]
        elif value is not None and not (isinstance(value, Sequence) and not isinstance(value, str) and not value):
            text, what = _text(value)
            query[route.query[name]] = text
            if what:
                wrong[name] = [what]
    if wrong:
        raise InvalidArgument("; ".join(f"{name} {what[0]}" for name, what in wrong.items()), field_errors=wrong)
    return query


def _text(value: str | bool | int | Sequence[str]) -> tuple[str, str | None]:
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    if isinstance(value, int):
        return str(value), None
    parts = [value] if isinstance(value, str) else list(value)
    what = None
    if any(not part.strip() for part in parts):
        what = "is empty"
    elif not isinstance(value, str) and any("," in part for part in parts):
        what = "has a comma within one of its values"
    elif not all(_is_unicode(part) for part in parts):
        what = "is not valid Unicode text"
    return ",".join(parts), what


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _content(body: Mapping[str, Any] | None) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(dict(body), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        what = "holds text that is not valid Unicode"
    except ValueError:
        what = "holds a number that is none"
    raise InvalidArgument(f"The request {what}.", field_errors={"request": [what]})


def _check_range(name: str, value: int, highest: int) -> None:
    if not 1 <= value <= highest:
        what = f"must be from 1 to {highest}"
        raise InvalidArgument(f"{name} {what}.", field_errors={name: [what]})
