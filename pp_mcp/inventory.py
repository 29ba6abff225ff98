"""Every tool there is, in an explicit list: nothing is registered by import. Importing this imports all that the tools
do, so a server that has only been asked for its menu does not."""

from __future__ import annotations

from pp_mcp.bulk import assign as bulk_assign
from pp_mcp.bulk import people as bulk_people
from pp_mcp.bulk import update as bulk_update
from pp_mcp.declare import Operation
from pp_mcp.operations import (
    articles,
    assignments,
    content,
    enrollments,
    groups,
    tokens,
    transitions,
    users,
)
from pp_mcp.reports import assignments as report_assignments
from pp_mcp.reports import content as report_content
from pp_mcp.reports import enrollments as report_enrollments
from pp_mcp.reports import learner as report_learner

ALL_TOOLS: tuple[Operation, ...] = (
    users.list_users,
    users.get_user,
    users.create_user,
    bulk_people.update_user,
    groups.list_groups,
    groups.get_group,
    groups.create_group,
    groups.update_group,
    groups.list_group_members,
    groups.add_group_members,
    groups.replace_group_members,
    groups.remove_group_members,
    content.search_content,
    content.get_content_item,
    content.update_content_item,
    content.delete_content_item,
    content.archive_content_items,
    content.unarchive_content_items,
    articles.list_articles,
    articles.get_article,
    articles.create_article,
    articles.update_article,
    assignments.list_assignments,
    assignments.list_overdue_assignments,
    assignments.get_assignment,
    assignments.assign_content,
    assignments.update_assignment,
    transitions.complete_assignment,
    transitions.drop_assignment,
    transitions.exempt_assignment,
    transitions.revert_completion,
    transitions.revert_exemption,
    enrollments.list_enrollments,
    report_assignments.report_assignments,
    report_content.report_content,
    report_enrollments.report_enrollments,
    report_learner.get_learner_summary,
    bulk_assign.bulk_assign_content,
    bulk_update.bulk_update_assignments,
    tokens.create_api_token,
)

BY_NAME = {tool.name: tool for tool in ALL_TOOLS}
