"""The tenant against the contract: every answer documented, by schema, with its headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from stage import FULL
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from pp_mcp.demo import DEMO_TOKEN, Sizes, Tenant
from pp_mcp.demo.routes import OPERATIONS

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "openapi.json").read_text(encoding="utf-8"))

TABLES = {
    "users": "users",
    "groups": "groups",
    "articles": "content_items WHERE content_type = 'article'",
    "assignments": "assignments",
    "content-items": "content_items",
}


class Stage:
    """Stands for the tenant, which is made only when a test of this module runs."""

    tenant: Tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.tenant.app(scope, receive, send)


STAGE = Stage()


@pytest.fixture(scope="module")
def stage() -> Iterator[Tenant]:
    sizes = Sizes(people=40, groups=12, content_items=60, assignments=400, enrollments=40)
    STAGE.tenant = Tenant(sizes=sizes, rate_limit=10**6)
    yield STAGE.tenant
    STAGE.tenant.close()


def _contract(request: Request) -> JSONResponse:
    return JSONResponse(CONTRACT)


schema = schemathesis.openapi.from_asgi(
    "/openapi.json", Starlette(routes=[Route("/openapi.json", _contract), Mount("/", STAGE)])
)

# What the contract's schemas cannot say: a valid body may still be refused for these reasons, and for no others.
BEYOND_THE_SCHEMA = re.compile(
    "may not be blank|Null characters|valid email|already exists|at most|greater than or equal|less than or equal"
    "|Must be in the future|No user with|No group with|is not active|is archived|Must be true|Enter one value"
    "|own manager|circular|This datetime does not exist"
)


@schema.auth()
class Bearer:
    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
        return f"Bearer {DEMO_TOKEN}"

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = data


def one(stage: Tenant, table: str) -> str:
    (found,) = stage.connection.execute(f"SELECT public_id FROM {table} ORDER BY random() LIMIT 1").fetchone()
    return found


@schema.parametrize()
@settings(max_examples=20 if FULL else 4, phases=[Phase.explicit, Phase.generate])
def test_every_answer_is_documented(case: schemathesis.Case, stage: Tenant) -> None:
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if is_valid:
        # Generated ids exist nowhere: half of them are replaced by such as do.
        if "public_id" in case.path_parameters and len(stage.requests) % 2:
            case.path_parameters["public_id"] = one(stage, TABLES[case.path.split("/")[1]])
        if isinstance(case.body, dict) and "user_id" in case.body and len(stage.requests) % 3:
            case.body["user_id"] = one(stage, "users WHERE is_active")
            case.body["content_item_id"] = one(stage, "content_items WHERE NOT is_archived")
    answer = case.call_and_validate(excluded_checks=[positive_data_acceptance])
    if is_valid and answer.status_code == 422:
        for messages in answer.json()["error"]["field_errors"].values():
            assert all(BEYOND_THE_SCHEMA.search(message) for message in messages), messages


def test_the_operations_are_those_of_the_contract() -> None:
    documented = {
        (method.upper(), path): (
            {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"},
            "422" in operation["responses"],
        )
        for path, operations in CONTRACT["paths"].items()
        for method, operation in operations.items()
    }
    built = {(o.method, o.path): (set(o.query), o.refuses) for o in OPERATIONS}
    assert len(documented) == 32
    assert built == documented
