"""Articles: content items of the one type that the API can create."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import ContentRow, ItemAnswer, ListAnswer, Named, ToolCall, content_row, full, list_answer
from pp_mcp.declare import UNSET, Call, Effect, Unset, operation
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import Article, ContentItem
from pp_mcp.operations.content import content_facts, described
from pp_mcp.operations.params import (
    ArchivedArg,
    ArticleArg,
    DetailArg,
    HiddenFilterArg,
    NameArg,
    PageArg,
    PageSizeArg,
    SearchArg,
)
from pp_mcp.plan import Done, Plan, left_out, not_applied, update_plan
from pp_mcp.text import quoted

HiddenArg = Annotated[bool, Field(description="true: not in the catalogue; a link still opens it.")]
SelfAssignArg = Annotated[bool, Field(description="May people assign it to themselves.")]
DurationArg = Annotated[int, Field(ge=0, le=100_000, description="Reading time in minutes.")]


@operation(toolset="content", title="List articles", effect=Effect.READ, csv="lists/articles", record=Article)
async def list_articles(
    call: Call,
    search: Annotated[SearchArg, Field(description="Part of the name.")] | None = None,
    is_archived: ArchivedArg | None = None,
    is_hidden: HiddenFilterArg | None = None,
    page: PageArg = 1,
    page_size: PageSizeArg = 25,
    detail: DetailArg = "concise",
) -> ListAnswer[ContentRow]:
    """List articles (text content) with how often assigned and completed, a page at a time. For content of other types,
    or to filter by date, channel or group, use search_content."""
    found = await call.api.page(
        "list_articles",
        ContentItem,
        page=page,
        page_size=page_size,
        search=search,
        is_archived=is_archived,
        is_hidden=is_hidden,
    )
    return list_answer(
        found,
        lambda item: content_row(item, detail),
        one="article",
        many="articles",
        stands_out=content_facts(found.items),
        narrow="search, is_archived, is_hidden",
    )


@operation(toolset="content", title="Get one article", effect=Effect.READ)
async def get_article(call: Call, article: ArticleArg) -> ItemAnswer[ContentRow]:
    """Show one article's settings and figures: hidden, self-assignable, duration, rating, completions. Its text is not
    in the API. For other content types use get_content_item."""
    return ItemAnswer[ContentRow](summary=described(article), item=full(ContentRow, article))


@operation(toolset="content", title="Create an article", effect=Effect.ADD, idempotent=False)
async def create_article(
    call: Call,
    name: Annotated[NameArg, Field(description="Title.")],
    is_hidden: HiddenArg = False,
    is_self_assignable: SelfAssignArg = True,
    duration: DurationArg | None = None,
) -> Plan:
    """Make a new article with a title and settings. Its text must be written in PlusPlus: the API takes none, so
    is_hidden until then is wise. Two calls make two articles. Undone by deleting it."""
    body: dict[str, Any] = {"name": name, "is_hidden": is_hidden, "is_self_assignable": is_self_assignable}
    if duration is not None:
        body["duration"] = duration

    async def apply() -> Done:
        created = (await call.api.write("create_article", ContentItem, body)).value
        after = _comparable(created)
        hidden = ", hidden" if created.is_hidden else ""
        missed = not_applied(after, body)
        return Done(
            summary=f"Created the article {quoted(created.name)}{hidden}, with no text yet.{left_out(missed)}",
            target=Named(kind="article", public_id=created.public_id, name=created.name),
            changes={field: [None, after[field]] for field in body},
            not_applied=missed,
            undo=ToolCall(tool="delete_content_item", arguments={"content_item": created.public_id}),
            undo_note="Deleting is for good; archive_content_items keeps it.",
        )

    return Plan(
        target=Named(kind="article", name=name),
        summary=f"Create the article {quoted(name)}.",
        apply=apply,
        check=ToolCall(tool="list_articles", arguments={"search": name}),
    )


@operation(toolset="content", title="Change an article", effect=Effect.CHANGE)
async def update_article(
    call: Call,
    article: ArticleArg,
    name: Annotated[NameArg, Field(description="New title.")] | None = None,
    is_hidden: HiddenArg | None = None,
    is_self_assignable: SelfAssignArg | None = None,
    duration: Annotated[DurationArg, Field(description="Reading time in minutes; null clears it.")]
    | Unset
    | None = UNSET,
) -> Plan:
    """Change an article's title, visibility, self-assignment or reading time; only given fields change. Its text is
    edited in PlusPlus. For access groups, or other content types, use update_content_item."""
    asked: dict[str, Any] = {}
    if name is not None:
        asked["name"] = name
    if is_hidden is not None:
        asked["is_hidden"] = is_hidden
    if is_self_assignable is not None:
        asked["is_self_assignable"] = is_self_assignable
    if not isinstance(duration, Unset):
        asked["duration"] = duration
    if not asked:
        raise InvalidArgument(
            "Nothing to change: give at least one of name, is_hidden, is_self_assignable, duration.", field_errors={}
        )
    before = _comparable(article)

    async def send() -> Mapping[str, Any]:
        body = {field: value for field, value in asked.items() if before[field] != value}
        written = await call.api.write("update_article", ContentItem, body, public_id=article.public_id)
        return _comparable(written.value)

    return update_plan(
        target=Named(kind="article", public_id=article.public_id, name=article.name),
        tool="update_article",
        reference="article",
        before=before,
        asked=asked,
        send=send,
        check=ToolCall(tool="get_article", arguments={"article": article.public_id}),
        clears=frozenset({"duration"}),
    )


def _comparable(item: ContentItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "is_hidden": item.is_hidden,
        "is_self_assignable": item.is_self_assignable,
        "duration": item.duration_minutes,
    }
