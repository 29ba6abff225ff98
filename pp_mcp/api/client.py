"""The API as typed verbs: one record, one page, a write, a deletion, a batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast
from weakref import WeakSet

import httpx2
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from pp_mcp.api.limits import SYSTEM_CLOCK, Clock, SharedBudget, Spending
from pp_mcp.api.routes import ROUTES, Route, check_id, fill
from pp_mcp.api.send import Sender, Written, json_of
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import BulkAnswer, Facts, Page, read_bulk, read_page

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LARGEST_PAGE = 100
LARGEST_BATCH = 100

KEPT_ANSWERS = 256

LARGEST_KEPT = 64 * 1024
"""Bytes of one answer; an assignment has about one thousand."""

Filter = str | bool | int | Sequence[str] | None


class Client:
    """The way to one tenant; one per process, because its calls share the connections and the rate budget.

    `base_url` is the whole of it, such as https://acme.plusplus.app/public_api/v2; `timeout` limits each request and
    `budget` each call, both in seconds; at most `max_concurrency` requests are under way. When the API asks for a pause
    of more than `max_pause` seconds, it is asked again after that. `chance` gives numbers from 0 to 1 that spread
    repeated requests. `shared` is the rate budget of several processes. Raises ValueError for an invalid base URL.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        timeout: float = 30.0,
        max_concurrency: int = 8,
        max_pause: float = 60.0,
        budget: float = 45.0,
        routes: Mapping[str, Route] = ROUTES,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Clock = SYSTEM_CLOCK,
        user_agent: str = "pp-mcp",
        chance: Callable[[], float] | None = None,
        shared: SharedBudget | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.budget = budget
        self.routes = routes
        self._sender = Sender(
            base_url=self.base_url,
            token=token,
            user_agent=user_agent,
            clock=clock,
            timeout=timeout,
            max_concurrency=max_concurrency,
            max_pause=max_pause,
            transport=transport,
            chance=chance,
            shared=shared,
        )
        self._kept: dict[str, httpx2.Response] = {}
        self._calls: WeakSet[Api] = WeakSet()

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"

    def call(self, *, budget: float | None = None, caller: str = "") -> "Api":
        """The view one tool call has of the API; its time budget, in seconds, begins now.

        Callers share the requests that may run at once and the rate budget evenly. The caller "" is alone.
        """
        api = Api(self._sender, self.budget if budget is None else budget, caller, self.routes, self._kept)
        self._calls.add(api)
        return api

    @property
    def is_used(self) -> bool:
        """Whether a call that may still send something is under way."""
        return bool(self._calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._sender.http.aclose()


class Api(Spending):
    """The API within one call. Every method raises the errors of `pp_mcp.errors`, and no others.

    `operation` is an operationId of `routes`. Requests are repeated as `send.py` says, within the call's budget.
    `kept` holds the last assignments that came with an ETag, by id.
    """

    def __init__(
        self,
        sender: Sender,
        budget: float,
        caller: str,
        routes: Mapping[str, Route],
        kept: dict[str, httpx2.Response],
    ) -> None:
        super().__init__(sender.clock, budget, caller)
        self._sender = sender
        self._kept = kept
        self.routes = routes

    @property
    def host(self) -> str:
        """The host of the tenant's address."""
        return self._sender.http.base_url.host

    async def one(self, operation: str, model: type[M], public_id: str) -> M:
        """One record, bare or under `data` (both documented).

        An assignment that came with an ETag is asked for again only if it changed. That the API then answers 304 is
        documented, that ETag carries it is inferred.
        """
        if operation != "get_assignment":
            done = await self._run(operation, lambda answer: _record(model, answer, public_id), public_id=public_id)
            return done.value
        kept = self._kept.pop(public_id, None)

        def read(response: httpx2.Response) -> M:
            last = kept if kept and response.status_code == 304 else response
            record = _record(model, last, public_id)
            etag = last.headers.get("etag", "")
            if 0 < len(etag) <= 256 and etag.isascii() and etag.isprintable() and len(last.content) <= LARGEST_KEPT:
                self._kept[public_id] = last
                if len(self._kept) > KEPT_ANSWERS:
                    del self._kept[next(iter(self._kept))]
            return record

        headers = {"if-none-match": kept.headers["etag"]} if kept else {}
        return (await self._run(operation, read, public_id=public_id, headers=headers)).value

    async def look(
        self, method: Literal["GET", "HEAD", "OPTIONS"], operation: str, public_id: str | None = None
    ) -> httpx2.Response:
        """The answer to a method that changes nothing on the operation's path, whatever its status. It is sent once."""
        path = fill(self.routes[operation].path, public_id)
        return await self._sender.look(operation, self._sender.http.build_request(method, path), self)

    async def page(
        self, operation: str, model: type[M], *, page: int = 1, page_size: int = 25, **filters: Filter
    ) -> Page[M]:
        """One page of a list, 1-based, of 1 to 100 rows. Filters have our names.

        None leaves a filter out, as an empty sequence does; a sequence is sent comma-separated. An empty text is
        refused: the API would likely ignore it and answer with everything.
        """
        for name, value, highest in (("page", page, 1_000_000), ("page_size", page_size, LARGEST_PAGE)):
            if not 1 <= value <= highest:
                raise InvalidArgument.naming({name: f"must be from 1 to {highest}"})

        def read(response: httpx2.Response) -> Page[M]:
            if issubclass(model, Facts) and (found := model.page_in(response.content)) is not None:
                return cast(Page[M], read_page(found, page=page, page_size=page_size))
            rows = read_page(json_of(response), page=page, page_size=page_size)
            items = _rows(model, rows.items)
            return Page(items, rows.page, rows.page_size, rows.total_count, rows.total_pages)

        return (await self._run(operation, read, filters={**filters, "page": page, "page_size": page_size})).value

    async def write(
        self, operation: str, model: type[M], body: Mapping[str, Any] | None = None, *, public_id: str | None = None
    ) -> Written[M]:
        """Creates or changes; gives the record as the API answers it, bare or under `data`."""

        def read(response: httpx2.Response) -> M:
            return _record(model, response, public_id)

        return await self._write(operation, read, body, public_id=public_id)

    async def erase(self, operation: str, *, public_id: str) -> Written[None]:
        """Deletes. If the answer was lost and the repeated request finds nothing, it is deleted: no error."""
        return await self._write(operation, _nothing, None, public_id=public_id, gone=lambda _: None)

    async def bulk(self, operation: str, public_ids: Sequence[str]) -> BulkAnswer:
        """One batch of up to 100 content items; an outcome for each of them, in the same order."""
        if not 1 <= len(public_ids) <= LARGEST_BATCH:
            raise InvalidArgument.naming({"items": f"must name 1 to {LARGEST_BATCH} items"})
        ids = [check_id(one, argument="items") for one in public_ids]
        body = {"items": [{"public_id": one} for one in ids]}
        return (await self._write(operation, lambda response: read_bulk(json_of(response), ids), body)).value

    async def _write(
        self,
        operation: str,
        read: Callable[[httpx2.Response], T],
        body: Mapping[str, Any] | None,
        *,
        public_id: str | None = None,
        gone: Callable[[httpx2.Response], T] | None = None,
    ) -> Written[T]:
        try:
            return await self._run(operation, read, body=body, public_id=public_id, gone=gone)
        finally:
            if public_id is not None:
                self._kept.pop(public_id, None)

    async def _run(
        self,
        operation: str,
        read: Callable[[httpx2.Response], T],
        *,
        public_id: str | None = None,
        filters: Mapping[str, Filter] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        gone: Callable[[httpx2.Response], T] | None = None,
    ) -> Written[T]:
        route = self.routes[operation]
        path, query = fill(route.path, public_id), _query(operation, route, filters or {})
        try:
            request = self._sender.request(route.method, path, query, body, headers)
        except ValueError:
            raise InvalidArgument.naming({"request": "contains NaN, infinity or invalid Unicode text"}) from None
        return await self._sender.send(operation, route, request, self, read, gone=gone)


def _record(model: type[M], response: httpx2.Response, public_id: str | None) -> M:
    """Raises ValueError for a record with another id than the one that was asked for."""
    body = json_of(response)
    inner = cast(dict[str, object], body).get("data") if isinstance(body, dict) else None
    record = _validated(model, model.model_validate, cast(object, inner if isinstance(inner, dict) else body))
    found = getattr(record, "public_id", None)
    if public_id is not None and isinstance(found, str) and _same(found) != _same(public_id):
        raise ValueError("it is about another record than the one that was asked for")
    return record


def _same(public_id: str) -> str:
    """The id as it compares: UUIDs are written with capitals and without hyphens too."""
    return public_id.replace("-", "").lower()


def _nothing(response: httpx2.Response) -> None:
    # A proxy's error page may come with 200: only an empty answer or an object is the API's.
    if response.content and not isinstance(json_of(response), dict):
        raise ValueError("it is not a JSON object")


@cache
def _list_of(model: Any) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[model])  # pyright: ignore[reportInvalidTypeForm] - a class, known when it runs


def _validated(model: type[BaseModel], validate: Callable[[object], T], value: object) -> T:
    try:
        return validate(value)
    except ValidationError as mistake:
        faults = mistake.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{'.'.join(str(step) for step in fault['loc']) or 'it'}: {fault['msg']}" for fault in faults[:3]]
        raise ValueError(f"it is not a valid {model.__name__} ({'; '.join(lines)})") from None


def _rows(model: type[M], values: list[object]) -> list[M]:
    if issubclass(model, Facts):
        return [model.of(one) for one in _validated(model.whole, _list_of(model.whole).validate_python, values)]
    return _validated(model, _list_of(model).validate_python, values)


def _query(operation: str, route: Route, filters: Mapping[str, Filter]) -> dict[str, str]:
    query: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for name, value in filters.items():
        if name not in route.query:
            wrong[name] = f"is not a filter of {operation}"
        elif isinstance(value, bool | int):
            query[route.query[name]] = str(value).lower()
        elif value is not None and (value or isinstance(value, str)):
            parts = [value] if isinstance(value, str) else list(value)
            query[route.query[name]] = ",".join(parts)
            if any(not part.strip() for part in parts):
                wrong[name] = "is empty"
            elif not isinstance(value, str) and any("," in part for part in parts):
                wrong[name] = "has a comma within one of its values"
            elif any("\ud800" <= character <= "\udfff" for part in parts for character in part):
                wrong[name] = "is not valid Unicode text"
    if wrong:
        raise InvalidArgument.naming(wrong)
    return query
