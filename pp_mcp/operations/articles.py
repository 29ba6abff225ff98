"""Articles: content items of the one type that the API can create."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pp_mcp.answers import ContentRow, ItemAnswer, ListAnswer, Named, full
from pp_mcp.declare import UNSET, Call, Effect, Unset, operation
from pp_mcp.models import Article, ContentItem
from pp_mcp.operations import params
from pp_mcp.operations.content import described
from pp_mcp.operations.lists import list_page
from pp_mcp.plan import Plan, call_of, create_plan, update_plan
from pp_mcp.text import quoted

HiddenArg = Annotated[bool, Field(description="true: not in the catalogue; a link still opens it.")]
SelfAssignArg = Annotated[bool, Field(description="May people assign it to themselves.")]
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
    """List articles (text content) with how often assigned and completed, a page at a time. For content of other types,
    or to filter by date, channel or group, use search_content."""
    return await list_page(
        call,
        "list_articles",
        ContentItem,
        ContentRow,
        noun="article",
        page=page,
        page_size=page_size,
        detail=detail,
        search=search,
        is_archived=is_archived,
        is_hidden=is_hidden,
    )


@operation(toolset="content", title="Get one article", effect=Effect.READ)
async def get_article(call: Call, article: params.ArticleArg) -> ItemAnswer[ContentRow]:
    """Show one article's settings and figures: hidden, self-assignable, duration, rating, completions. Its text is not
    in the API. For other content types use get_content_item."""
    return ItemAnswer[ContentRow](summary=described(article), item=full(ContentRow, article))


@operation(toolset="content", title="Create an article", effect=Effect.ADD, idempotent=False)
async def create_article(
    call: Call,
    name: Annotated[params.NameArg, Field(description="Title.")],
    is_hidden: HiddenArg = False,
    is_self_assignable: SelfAssignArg = True,
    duration: DurationArg | None = None,
) -> Plan:
    """Make a new article with a title and settings. Its text must be written in PlusPlus: the API takes none, so
    is_hidden until then is wise. Two calls make two articles. Undone by deleting it."""
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


@operation(toolset="content", title="Change an article", effect=Effect.CHANGE)
async def update_article(
    call: Call,
    article: params.ArticleArg,
    name: Annotated[params.NameArg, Field(description="New title.")] | None = None,
    is_hidden: HiddenArg | None = None,
    is_self_assignable: SelfAssignArg | None = None,
    duration: Annotated[DurationArg, Field(description="Reading time in minutes; null clears it.")]
    | Unset
    | None = UNSET,
) -> Plan:
    """Change an article's title, visibility, self-assignment or reading time; only given fields change. Its text is
    edited in PlusPlus. For access groups, or other content types, use update_content_item."""
    asked = params.asked_for(
        "duration", name=name, is_hidden=is_hidden, is_self_assignable=is_self_assignable, duration=duration
    )
    return update_plan(
        call.api,
        "update_article",
        ContentItem,
        article,
        asked,
        target=Named(kind="article", public_id=article.public_id, name=article.name),
        comparable=_comparable,
        clears=frozenset({"duration"}),
    )


def _comparable(item: ContentItem) -> dict[str, Any]:
    return {
        "name": item.name,
        "is_hidden": item.is_hidden,
        "is_self_assignable": item.is_self_assignable,
        "duration": item.duration_minutes,
    }
