"""One tool call: arguments → what the operation receives → what it answers → what the client reads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult

from pp_mcp.answers import Answer, ManyAnswer
from pp_mcp.declare import Call, Effect, Operation
from pp_mcp.errors import PlusPlusError, Refused
from pp_mcp.logs import about
from pp_mcp.server.arguments import UNKNOWN_NAMED, parse, resolve
from pp_mcp.server.asking import identity, share_of
from pp_mcp.server.csv import csv_fields
from pp_mcp.server.explain import explained, unexpected
from pp_mcp.server.narrowing import narrowing_of
from pp_mcp.server.perform import Runtime, log
from pp_mcp.server.reads import Reader, counts_of
from pp_mcp.server.render import rendered, rendered_error
from pp_mcp.server.tasks import Job
from pp_mcp.server.writes import Result, Write
from pp_mcp.telemetry import Ending, tool_call


@dataclass(frozen=True)
class ServedTool:
    """One tool of the menu, as calls need it."""

    operation: Operation
    runtime: Runtime

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.operation.effect is Effect.READ

    @property
    def is_long(self) -> bool:
        """Whether its work may outlive a call: reports over many rows, writes of many things."""
        return self.operation.toolset == "reports" or self.operation.answer is ManyAnswer

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], job: Job | None = None) -> Result:
        """Runs the tool. Every failure comes back as a result that says what to do, and shows nothing foreign. `job`,
        where there is one, is told how far it is."""
        name, request_id = self.operation.name, (context.headers or {}).get("x-request-id")
        with about(name, request_id), tool_call(name) as ending:
            call = self.runtime.call(context.report_progress, share_of(context))
            call = job.hooked(call) if job else call
            async with call.never_silent():
                result = await self._run(call, arguments, context, ending)
            if isinstance(result, CallToolResult):
                ending.characters = sum(len(one.text) for one in result.content if one.type == "text")
            return result

    async def _run(self, call: Call, arguments: dict[str, Any], context: Context[Any, Any], ending: Ending) -> Result:
        operation, runtime = self.operation, self.runtime
        write: Write | None = None
        if not self.is_read:
            known = operation.arguments.model_fields
            # A call with more arguments than any tool has is refused, and recording them all would take long.
            some = dict(islice(arguments.items(), len(known) + UNKNOWN_NAMED))
            entry = runtime.audit.entry(operation.name, some, identity(context), known) if runtime.audit else None
            write = Write(operation, runtime, context, call, entry)
        try:
            why_not = narrowing_of(context.headers).why_not(operation)
            if why_not is not None:
                raise Refused(f"{why_not} Nothing was sent.")
            if write is None:
                call.begins(call.api)
                result = await read(operation, arguments, call, Reader(runtime.audit, identity(context)))
                ending.outcome = "answered"
                return result
            given = parse(operation, arguments, runtime.zone)
            with runtime.writing():
                result = await write.run(given)
            said = cast("dict[str, Any]", getattr(result, "structured_content", None) or {})
            ending.outcome = said.get("status", "asked")
            return result
        except PlusPlusError as error:
            ending.outcome = type(error).__name__
            log.info("%s: %s", operation.name, ending.outcome)
            return rendered_error(explained(error, operation) if write is None else await write.failed(error))
        except Exception:
            ending.outcome = "unexpected"
            log.exception("%s failed unexpectedly", operation.name)
            plan = write.plan if write is not None else None
            return rendered_error(unexpected(operation, call.api.request_ids, plan))


async def read(operation: Operation, arguments: dict[str, Any], call: Call, reader: Reader | None = None) -> Result:
    """What a reading tool answers to these arguments."""
    given = parse(operation, arguments, call.zone)
    values, resolved = await resolve(operation, given, call.api, call.report)
    answer: Answer = await operation.function(call, **values)
    if reader is not None:
        filters = {name: values[name] for name in sorted(given.model_fields_set & values.keys())}
        await reader.note(operation, filters, counts_of(answer))
    if resolved:
        answer.resolved = resolved
    if operation.csv:
        where = csv_fields(operation, answer, given.model_dump(mode="json", exclude_unset=True))
        answer = answer.model_copy(update=where)
    return rendered(answer, detail=values.get("detail", "full"))
