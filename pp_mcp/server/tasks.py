"""Work that outlives a call: the tasks extension of the protocol (SEP-2663, 2026-07-28).

A client that declares it on a request gets a task in place of the answer where that takes long: reports, and bulk
actions once they are confirmed. What a task is at is kept after every step, so that any process with the same store
can tell, also after the one that worked on it has died. Everybody else gets an answer in time, as without tasks.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup
from mcp.server.context import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.types import HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, RequestParams

from pp_mcp.server.principal import principal

if TYPE_CHECKING:
    from pp_mcp.api import Api
    from pp_mcp.declare import Call
    from pp_mcp.server.call import ServedTool
    from pp_mcp.server.redact import Redactor
    from pp_mcp.server.store import Store

log = logging.getLogger("pp_mcp.server")

TASKS = "io.modelcontextprotocol/tasks"
MODERN = frozenset({"2026-07-28"})

SOON = 2.0
"""Seconds in which an answer is waited for before a task takes its place."""

LONGEST = 1_800.0
"""Seconds that a task may work."""

KEPT = 3_600.0
"""Seconds that the result of a task is kept."""

MOST, LARGEST = 100, 1_000_000
"""Tasks that one principal may begin within an hour, and characters of a result."""

POLL_MS = 1_000

BEAT, DEAD = 2.0, 15.0
"""Seconds between two signs of life of a working task, and after which one without them is taken for dead."""

GRACE = 5.0
"""Seconds beyond PP_TIMEOUT, the time of one request to PlusPlus, that calls in progress may take after SIGTERM."""

Json = dict[str, Any]


class TaskParams(RequestParams):
    """Which task is meant."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers to a task's questions. Ours ask none: whatever needs confirming is confirmed before."""

    input_responses: Json


@dataclass
class Job:
    """A call that may become a task."""

    tool: ServedTool
    arguments: Json
    context: Context[Any, Any]
    group: TaskGroup
    owner: str
    store: Store
    task_id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    began: float = field(default_factory=time.time)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    stopping: anyio.Event = field(default_factory=anyio.Event)
    """Is set when no more is to be begun."""
    may_be_task: anyio.Event = field(default_factory=anyio.Event)
    """Is set when nothing more is asked, and in any case at the end."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    is_task: bool = False
    is_cancelled: bool = False
    message: str = "working"
    result: Any = None
    error: Json | None = None
    _api: Api | None = None

    def hooked(self, call: Call) -> Call:
        """The call, which tells this job how far it is."""
        return replace(call, progress=self._progress, cancelled=self.stopping, begins=self._begins, steps=1_000)

    def _begins(self, api: Api) -> None:
        self._api = api
        self.may_be_task.set()

    async def _progress(self, done: float, total: float | None, message: str) -> None:
        self.message = message
        if self.is_task:
            await self.keep()
        else:
            await self.context.report_progress(done, total, message)

    async def becomes_task(self) -> bool:
        """Whether there is room for it as a task, and it is kept; from then on it has the time of one."""
        room = await self.store.count(f"tasks:{self.owner}", 1, MOST, KEPT)
        self.is_task = room.taken and await self.keep()
        if self.is_task and self._api is not None:
            self._api.extend(LONGEST)
        return self.is_task

    def stop(self) -> None:
        """Begins nothing more: writes under way are brought to their end, reading ends at once."""
        self.stopping.set()
        if self.tool.is_read or not self.may_be_task.is_set():
            self.scope.cancel()

    def end(self, result: Any) -> None:
        """The work is done; `result` is what a call would have been answered with."""
        self.result = result
        data: Json = getattr(result, "structured_content", None) or {}
        self.message = str(data.get("summary", self.message))
        self.is_cancelled = self.is_cancelled and bool(data.get("not_sent"))

    async def keep(self) -> bool:
        """Writes down how far it is; False where that is too much to keep."""
        state = {"owner": self.owner, "seen": time.time(), "call": self.call(), **self.wire()}
        return await self.store.keep(_key(self.task_id), state, KEPT + LONGEST * (not self.ended.is_set()))

    def wire(self) -> Json:
        """The task as the protocol writes it."""
        status = "working"
        if self.ended.is_set():
            status = "failed" if self.error else "cancelled" if self.is_cancelled else "completed"
        task: Json = {
            "taskId": self.task_id,
            "status": status,
            "statusMessage": self.message,
            "createdAt": _moment(self.began),
            "lastUpdatedAt": _moment(time.time()),
            "ttlMs": round((KEPT + (time.time() - self.began)) * 1000),
            "pollIntervalMs": POLL_MS,
        }
        if self.error:
            task["error"] = self.error
        elif self.result is not None:
            task["result"] = self._result()
        return task

    def _result(self) -> Json:
        result = self.result.model_dump(mode="json", by_alias=True, exclude_none=True)
        if (size := len(json.dumps(result, ensure_ascii=False))) > LARGEST:
            text = f"{self.message} The full answer is not kept: it has {size:,} characters, of at most {LARGEST:,}."
            return {"content": [{"type": "text", "text": text}], "isError": True}
        return result

    def call(self) -> Json:
        """The call itself, which does what is left."""
        given = {name: value for name, value in self.arguments.items() if name != "confirm_token"}
        return {"tool": self.tool.operation.name, "arguments": given}


class Tasks(Extension):
    """Answers long calls with tasks, and the requests about them."""

    identifier = TASKS

    def __init__(self, redactor: Redactor, store: Callable[[], Store], grace: float = GRACE) -> None:
        """`grace`: seconds that writes under way are given when the server stops."""
        self._redactor, self._store, self._grace = redactor, store, grace
        self.soon = SOON
        self.jobs: dict[str, Job] = {}
        """Those that this process is at, by task."""

    def methods(self) -> Sequence[MethodBinding]:
        """What clients may ask of a task."""
        return [
            MethodBinding("tasks/get", TaskParams, self._get, MODERN),
            MethodBinding("tasks/update", UpdateParams, self._update, MODERN),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, MODERN),
        ]

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[TaskGroup]:
        """The group that jobs run in while the server serves. At its end nothing more is begun, and writes under way
        are brought to theirs."""
        async with anyio.create_task_group() as group:
            try:
                yield group
            finally:
                jobs = [job for job in self.jobs.values() if job.group is group]
                for job in jobs:
                    job.stop()
                with anyio.move_on_after(self._grace, shield=True):
                    for job in jobs:
                        await job.ended.wait()
                group.cancel_scope.cancel()

    async def answer(self, tool: ServedTool, arguments: Json, context: Context[Any, Any]) -> Any:
        """What a call is answered: its result, or a task where that takes long and the client takes tasks."""
        if not (tool.is_long and _takes_tasks(context)):
            return self._redactor.result(await tool.run(arguments, context))
        group: TaskGroup = context.request_context.lifespan_context
        job = Job(tool, arguments, context, group, _owner(), self._store())
        self.jobs[job.task_id] = job
        group.start_soon(self._run, job)
        try:
            await job.may_be_task.wait()
            with anyio.move_on_after(self.soon):
                await job.ended.wait()
            if not job.ended.is_set() and await job.becomes_task() and not job.ended.is_set():
                group.start_soon(self._beat, job)
                return {"resultType": "task", **job.wire()}
            await job.ended.wait()
        except anyio.get_cancelled_exc_class():
            job.stop()
            raise
        if job.error is not None:
            raise MCPError(**job.error)
        return job.result

    async def _run(self, job: Job) -> None:
        try:
            with job.scope:
                job.end(self._redactor.result(await job.tool.run(job.arguments, job.context, job)))
        except MCPError as error:
            job.error = error.error.model_dump(exclude_none=True)
        except Exception:
            log.exception("%s failed unexpectedly", job.tool.operation.name)
            job.error = {"code": INTERNAL_ERROR, "message": "Internal error"}
        finally:
            if job.result is None and job.error is None and not job.is_cancelled:
                job.error = _stopped(job.message, job.call())
            del self.jobs[job.task_id]
            job.ended.set()
            job.may_be_task.set()
            if job.is_task:
                with anyio.CancelScope(shield=True):
                    await job.keep()

    async def _beat(self, job: Job) -> None:
        """Shows that the job is alive, and learns whether another process was asked to cancel it."""
        is_last = False
        while not is_last:
            with anyio.move_on_after(BEAT):
                await job.ended.wait()
            is_last = job.ended.is_set()
            if await job.store.is_claimed(_key(job.task_id) + ":cancel"):
                _cancel(job)
            await job.keep()

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Json:
        state = await self._found(ctx, params)
        return {"resultType": "complete", **state}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: UpdateParams) -> Json:
        await self._found(ctx, params)
        return {"resultType": "complete"}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Json:
        await self._found(ctx, params)
        if params.task_id in self.jobs:
            _cancel(self.jobs[params.task_id])
        else:
            await self._store().claim(_key(params.task_id) + ":cancel", KEPT)
        return {"resultType": "complete"}

    async def _found(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Json:
        """The task as the protocol writes it.

        Raises:
            MCPError: the client does not take tasks, or there is none with this id for this principal.
        """
        require_client_extension(ctx, TASKS)
        headers = getattr(ctx.request, "headers", None)
        if headers is not None and headers.get("mcp-name") != params.task_id:
            raise MCPError(code=HEADER_MISMATCH, message="The header Mcp-Name must be params.taskId.")
        state = await self._store().kept(_key(params.task_id))
        if state is None or state.pop("owner") != _owner():
            message = "There is no such task: its result was kept for an hour, or it is somebody else's."
            raise MCPError(code=INVALID_PARAMS, message=message)
        seen, call = state.pop("seen"), state.pop("call")
        if state["status"] == "working" and seen + DEAD < time.time():
            state |= {"status": "failed", "error": _stopped(state["statusMessage"], call)}
        return state


def _owner() -> str:
    """Names whoever sent the request that is being answered, without saying who that is."""
    return sha256(principal().encode()).hexdigest()


def _takes_tasks(context: Context[Any, Any]) -> bool:
    capabilities = context.client_capabilities
    declared = capabilities.extensions if capabilities else None
    return context.protocol_version in MODERN and TASKS in (declared or {})


def _cancel(job: Job) -> None:
    job.is_cancelled = True
    job.stop()


def _stopped(message: str, call: Json) -> Json:
    """The error of a task whose process ended, with the call that does the rest."""
    return {
        "code": INTERNAL_ERROR,
        "message": f"The server that worked on this task stopped. Last: {message}. The same call, made again, does the "
        "rest; what was done is not done twice.",
        "data": {"continue": call},
    }


def _key(task_id: str) -> str:
    return f"task:{task_id}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
