"""What the API sends, one file per resource. Read leniently: unknown fields and values pass, dates stay as sent."""

from pp_mcp.models.bulk import BulkAnswer, BulkOutcome, read_bulk
from pp_mcp.models.facts import AssignmentFacts, Facts
from pp_mcp.models.pages import Page, read_page
from pp_mcp.models.records import (
    ApiToken,
    Article,
    Assignment,
    ContentItem,
    ContentRef,
    Enrollment,
    EventRef,
    Group,
    GroupRef,
    PersonRef,
    User,
)

__all__ = [
    "ApiToken",
    "Article",
    "Assignment",
    "AssignmentFacts",
    "BulkAnswer",
    "BulkOutcome",
    "ContentItem",
    "ContentRef",
    "Enrollment",
    "EventRef",
    "Facts",
    "Group",
    "GroupRef",
    "Page",
    "PersonRef",
    "User",
    "read_bulk",
    "read_page",
]
