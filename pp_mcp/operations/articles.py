"""Articles: content items of the one type that the API can create."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pp_mcp.answers import ContentRow, ItemAnswer, ListAnswer, Named, full
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.models import Article, ContentItem
from pp_mcp.operations import params
from pp_mcp.operations.access import hiding
from pp_mcp.operations.content import archived_too, described
from pp_mcp.operations.lists import list_page
from pp_mcp.plan import Plan, call_of, create_plan, update_plan
from pp_mcp.text import quoted

HiddenArg = Annotated[bool, Field(description="true: out of the catalogue; links still work.")]
SelfAssignArg = Annotated[bool, Field(description="People may assign it to themselves.")]
DurationArg = Annotated[int, Field(ge=0, le=100_000, description="Reading time in minutes.")]


@operation(toolset="content", title="List articles", effect=Effect.READ, csv="lists/articles", record=Article)
async def list_articles(
    call: Call,
    search: Annotated[params.SearchArg, Field(description="Part of the name.")] | None = None,
    is_archived: params.ArchivedArg | None = None,
    is_hidden: params.HiddenFilterArg | None = None,
    page: params.PageArg = 1,
    page_size: params.PageSizeArg = 25,
    detail: params.DetailArg = "concise",
) -> ListAnswer[ContentRow]:
    """List all articles (text content), archived or hidden too, with how often assigned and completed. For other
    content, or to filter by date, channel or group, use search_content."""
    return await list_page(
        call,
        "list_articles",
        ContentItem,
        ContentRow,
        noun="article",
        page=page,
        page_size=page_size,
        detail=detail,
        note=archived_too(is_archived),
        search=search,
        is_archived=is_archived,
        is_hidden=is_hidden,
    )


@operation(toolset="content", title="Get one article", effect=Effect.READ)
async def get_article(call: Call, article: params.ArticleArg) -> ItemAnswer[ContentRow]:
    """Show one article's settings and figures: hidden, may people pick it themselves (self-assignable), reading time,
    rating, completions. Its text is not in the API. For other content use get_content_item."""
    return ItemAnswer[ContentRow](summary=described(article), item=full(ContentRow, article))


@operation(toolset="content", title="Create an article", effect=Effect.ADD, idempotent=False)
async def create_article(
    call: Call,
    name: Annotated[params.NameArg, Field(description="Title.")],
    is_hidden: HiddenArg = False,
    is_self_assignable: SelfAssignArg = True,
    duration: DurationArg | None = None,
) -> Plan:
    """Start a new, blank article (page to read, how-to). Its text must be written in PlusPlus, so is_hidden until then
    is wise. Each call makes another. Undone by deleting it."""
    body: dict[str, Any] = {"name": name, "is_hidden": is_hidden, "is_self_assignable": is_self_assignable}
    if duration is not None:
        body["duration"] = duration

    def created(article: ContentItem) -> str:
        return f"Created the article {quoted(article.name)}{', hidden' if article.is_hidden else ''}, with no text yet."

    return create_plan(
        call.api,
        "create_article",
        ContentItem,
        body,
        target=Named(kind="article", name=name),
        comparable=_comparable,
        created=created,
        check=call_of("list_articles", "search", name),
        undo=lambda article: call_of("delete_content_item", "content_item", article.public_id),
        undo_note="Deleting is permanent; archive_content_items keeps it.",
    )


@operation(toolset="content", title="Change an article", effect=Effect.CHANGE, may_confirm=True)
async def update_article(
    call: Call,
    article: params.ArticleArg,
    name: Annotated[params.NameArg, Field(description="New title.")] | None = None,
    is_hidden: HiddenArg | None = None,
    is_self_assignable: SelfAssignArg | None = None,
    duration: DurationArg | None = None,
    clear: Annotated[list[Literal["duration"]], Field(description="Fields to empty.", min_length=1, max_length=1)]
    | None = None,
) -> Plan:
    """Change an article's title, visibility, reading time, or whether people may pick it themselves. Its text is edited
    in PlusPlus. For access groups or other content use update_content_item."""
    asked = params.asked_for(
        clear, name=name, is_hidden=is_hidden, is_self_assignable=is_self_assignable, duration=duration
    )
    shown = await hiding(call, article, is_hidden)
    return update_plan(
        call.api,
        "update_article",
        ContentItem,
        article,
        asked,
        target=Named(kind="article", public_id=article.public_id, name=article.name),
        comparable=_comparable,
        effects=shown,
        confirm=bool(shown),
        clearable=frozenset({"duration"}),
    )


def _comparable(item: ContentItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "is_hidden": item.is_hidden,
        "is_self_assignable": item.is_self_assignable,
        "duration": item.duration_minutes,
    }
