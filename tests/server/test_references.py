"""What names a thing: id, e-mail, exact name, pasted URL. One match is used; anything else changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from mcp import Client
from stage import UNSHARED, Stage, ask, confirmed, connected, refused, small_tenant

from pp_mcp.server.references import LONGEST, ONE_BY_ONE, id_in

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-4000-8000-000000000000"
WEB = "https://demo.plusplus.app"


def forms_of(stage: Stage, kind: str) -> dict[str, Any]:
    """Every way to name one thing of a kind."""
    table = {"user": "users", "group": "groups", "content_item": "content_items"}[kind]
    unshared = UNSHARED.replace("users", table)
    query = f"SELECT public_id, name FROM {table} WHERE name LIKE '% %' AND {unshared} ORDER BY id LIMIT 1"
    public_id, name = stage.tenant.connection.execute(query).fetchone()
    slug = re.sub(r"\W+", "-", name.lower())
    return {
        "id": public_id,
        "id in capitals": public_id.upper(),
        "id with space around": f"  {public_id}\n",
        "name": name,
        "name in capitals": name.upper(),
        "name with space": "  " + name.replace(" ", "   ") + " ",
        "URL": f"{WEB}/{table}/{public_id}_{slug}/",
        "URL without slug": f"{WEB}/{table}/{public_id}",
        "URL with query": f"HTTPS://DEMO.plusplus.app/x/{public_id.upper()}/edit?tab=1#top",
        "wanted": public_id,
    }


FORMS = ["id", "id in capitals", "id with space around", "name", "name in capitals", "name with space", "URL"]
FORMS += ["URL without slug", "URL with query"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["user", "group", "content_item"])
async def test_one_match_is_used_and_named(kind: str, form: str, client: Client, stage: Stage) -> None:
    forms = forms_of(stage, kind)
    answer = await ask(client, f"get_{kind}", **{kind: forms[form]})
    assert answer["item"]["public_id"] == forms["wanted"]
    if form == "id":
        assert "resolved" not in answer
    elif form != "id with space around":
        resolved = answer["resolved"][kind]
        assert (resolved["kind"], resolved["public_id"]) == (kind, forms["wanted"])
        assert resolved["name"] == answer["item"]["name"]


async def test_a_person_by_email_in_any_case(client: Client, stage: Stage) -> None:
    email = stage.person()
    for form in (email, email.upper(), f" {email} "):
        assert (await ask(client, "get_user", user=form))["item"]["email"] == email


async def test_an_article_and_an_event_by_name(client: Client, stage: Stage) -> None:
    article = stage.one("SELECT name FROM content_items WHERE content_type = 'article'")
    assert (await ask(client, "get_article", article=article.lower()))["item"]["name"] == article
    public_id, event = stage.tenant.connection.execute(
        "SELECT public_id, name FROM content_items WHERE content_type = 'event' "
        "AND id IN (SELECT event_id FROM enrollments)"
    ).fetchone()
    for form in (event, public_id, f"{WEB}/events/{public_id}_x/"):
        answer = await ask(client, "list_enrollments", event=form)
        assert answer["total_count"] > 0
        assert event in answer["summary"]
    error = await refused(client, "list_enrollments", event="Security 101")
    assert error["code"] == "unclear_reference"


async def test_a_manager_and_a_group_narrow_a_list(client: Client, stage: Stage) -> None:
    boss = stage.one(
        "SELECT m.email FROM users u JOIN users m ON m.id = u.manager_id GROUP BY m.id ORDER BY count(*) DESC"
    )
    reports = stage.one("SELECT count(*) FROM users u JOIN users m ON m.id = u.manager_id WHERE m.email = ?", boss)
    answer = await ask(client, "list_users", manager=boss)
    assert answer["total_count"] == reports
    assert "reporting to" in answer["summary"]


async def test_a_tenant_of_the_other_kind_of_ids() -> None:
    stage = Stage(small_tenant(ids="ulid"))
    public_id = stage.one("SELECT public_id FROM users WHERE email = ?", stage.person())
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", public_id)
    async with connected(stage.tenant) as client:
        for form in (public_id, f"{WEB}/users/{public_id}/", f"{WEB}/users/{public_id}_jane"):
            assert (await ask(client, "get_user", user=form))["item"]["public_id"] == public_id
        group = stage.group()
        done = await ask(client, "add_group_members", group=group, members=stage.strangers(group, 1))
        assert done["status"] == "done"
    stage.tenant.close()


async def test_two_people_of_one_name_are_never_chosen_between(client: Client, stage: Stage) -> None:
    error = await refused(client, "update_user", user="sam  LEE", name="Somebody Else")
    assert error["code"] == "unclear_reference"
    assert error["message"].startswith("user: 2 people are called “sam LEE”: give the public_id")
    candidates = error["candidates"]
    assert {one["email"] for one in candidates} == {"sam.lee@acme.example", "sam.lee2@acme.example"}
    assert [one["public_id"] for one in candidates] == stage.column(
        "SELECT public_id FROM users WHERE name = 'Sam Lee'"
    )
    assert stage.writes() == []


async def test_twin_groups_can_be_told_apart(client: Client) -> None:
    error = await refused(client, "get_group", group="project phoenix")
    assert [set(one) for one in error["candidates"]] == [{"public_id", "name", "source", "member_count"}] * 2


async def test_every_candidate_can_be_used_as_it_stands(client: Client) -> None:
    error = await refused(client, "get_user", user="Sam Lee")
    for candidate in error["candidates"]:
        found = await ask(client, "get_user", user=candidate["public_id"])
        assert found["item"]["email"] == candidate["email"]


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("Sam Lea", "Sam Lee"),
        ("Sm Lee", "Sam Lee"),
        ("sam.leee@acme.example", "Sam Lee"),
        ("sam_lee@other.example", "Sam Lee"),
        ("Zzyzx Qwrtp", None),
        ("nobody.here@acme.example", None),
    ],
)
async def test_none_offers_what_is_near(given: str, near: str | None, client: Client) -> None:
    error = await refused(client, "get_user", user=given)
    assert error["code"] == "unclear_reference"
    if near is None:
        assert "candidates" not in error
        assert error["message"].startswith(f"user: Not found: no person is called “{given}”")
        assert "list_users" in error["message"]
    else:
        assert near in [one["name"] for one in error["candidates"]]
        assert len(error["candidates"]) <= 5
        assert f"No person is called “{given}”." in error["message"]


async def test_part_of_a_name_is_not_the_name(client: Client, stage: Stage) -> None:
    error = await refused(client, "delete_content_item", content_item="Security")
    assert [one["name"] for one in error["candidates"]] == ["Security 101"]
    assert stage.writes() == []


async def test_what_is_inactive_or_archived_says_so_among_candidates(client: Client, stage: Stage) -> None:
    stage.change("UPDATE users SET is_active = 0 WHERE email = 'sam.lee2@acme.example'")
    error = await refused(client, "get_user", user="Sam Lee")
    assert [one.get("note") for one in error["candidates"]] == [None, "inactive"]
    stage.change("UPDATE content_items SET is_archived = 1 WHERE name = 'Security 101'")
    error = await refused(client, "get_content_item", content_item="Security")
    assert error["candidates"][0]["note"] == "archived"


@pytest.mark.parametrize(
    ("tool", "argument"),
    [
        ("get_user", "user"),
        ("get_group", "group"),
        ("get_content_item", "content_item"),
        ("get_article", "article"),
        ("complete_assignment", "assignment"),
    ],
)
async def test_an_id_of_nothing_names_the_tool_that_finds_one(tool: str, argument: str, client: Client) -> None:
    for form in (NOBODY, f"{WEB}/x/{NOBODY}_y/"):
        error = await refused(client, tool, **{argument: form})
        assert error["code"] == "unclear_reference"
        assert NOBODY in error["message"]
        assert re.search(r"(list|search)_\w+ finds valid ones", error["message"])


HOPELESS = ["   ", "\x00", "a\x00b", "a\x1b[31mb", "\u200b", "a\u202eb", "x" * (LONGEST + 1)]
HOPELESS += [
    "https://demo.plusplus.app/",
    "https://elsewhere.example/",
    "http://[broken",
    "x@",
    "@x",
    "a@b",
    "jane@acme.example; drop",
    "\U000e0041",
]


@pytest.mark.parametrize("given", HOPELESS, ids=ascii)
async def test_what_can_match_nothing_costs_no_request(given: str, client: Client, stage: Stage) -> None:
    for tool, argument in (("get_user", "user"), ("update_user", "user"), ("list_assignments", "user")):
        error = await refused(client, tool, **{argument: given}, **({"name": "X"} if tool == "update_user" else {}))
        assert error["code"] in ("invalid_argument", "unclear_reference")
        assert argument in error["message"]
    error = await refused(client, "add_group_members", group=stage.group(), members=[stage.person(), given])
    assert "members" in error["message"]
    assert list(stage.tenant.requests) == []


@pytest.mark.parametrize(
    "given", ["..", ".", "../users", "a/b", "%2e%2e", "?page=2", "Security 101", "12345", NOBODY[:-1]]
)
async def test_only_an_id_names_an_assignment_or_a_channel(given: str, client: Client, stage: Stage) -> None:
    error = await refused(client, "complete_assignment", assignment=given)
    assert "must be the public_id" in error["message"]
    assert "list_assignments" in error["message"]
    error = await refused(client, "search_content", channel=given)
    assert "must be the public_id" in error["message"]
    assert list(stage.tenant.requests) == []


@pytest.mark.parametrize("given", ["..", ".", "../users", "a/b", "%2e%2e", "?page=2", "&email=x", "#"])
async def test_a_name_never_gets_into_a_path(given: str, client: Client, stage: Stage) -> None:
    error = await refused(client, "delete_content_item", content_item=given)
    assert error["code"] == "unclear_reference"
    assert {one.path for one in stage.tenant.requests} == {"/content-items"}
    assert stage.writes() == []


async def test_a_list_of_mixed_references(client: Client, stage: Stage) -> None:
    group = stage.group()
    people = stage.strangers(group, 4)
    found = [
        stage.tenant.connection.execute("SELECT public_id, name FROM users WHERE email = ?", (one,)).fetchone()
        for one in people
    ]
    mixed = [people[0], found[1][0].upper(), f"{WEB}/users/{found[2][0]}_x/", people[3].upper(), people[3]]
    answer = await ask(client, "add_group_members", group=group, members=mixed)
    assert answer["changes"]["member_count"][1] - answer["changes"]["member_count"][0] == 4
    assert set(people) <= set(stage.members(group))


@pytest.mark.parametrize("count", [3, ONE_BY_ONE, ONE_BY_ONE + 10])
async def test_a_list_is_found_however_long_it_is(count: int, client: Client, stage: Stage) -> None:
    """Short lists one by one, longer ones by reading everybody: with the same result."""
    group = stage.group()
    query = f"SELECT email, name, public_id FROM users WHERE is_active AND {UNSHARED} ORDER BY id LIMIT ?"
    rows = stage.tenant.connection.execute(query, (count,)).fetchall()
    members = [(row[0].upper(), row[1].lower(), row[2])[number % 3] for number, row in enumerate(rows)]
    answer = await confirmed(client, "replace_group_members", group=group, members=members)
    assert answer["status"] == "done"
    assert stage.members(group) == sorted(row[0] for row in rows)


@pytest.mark.parametrize("surplus", [0, ONE_BY_ONE])
async def test_all_that_is_unclear_in_a_list_is_said_at_once(surplus: int, client: Client, stage: Stage) -> None:
    group = stage.group()
    good = stage.column("SELECT public_id FROM users LIMIT ?", 2 + surplus)
    error = await refused(client, "add_group_members", group=group, members=[*good, "Sam Lee", "Zzyzx Qwrtp", NOBODY])
    assert error["code"] == "unclear_reference"
    assert f"3 of {len(good) + 3} entries unclear: " in error["message"]
    for word in ("“Sam Lee”", "“Zzyzx Qwrtp”", NOBODY, f"the other {len(good)} were found"):
        assert word in error["message"]
    assert [one["for"] for one in error["candidates"]] == ["Sam Lee", "Sam Lee"]
    assert stage.writes() == []


async def test_one_unclear_entry_reads_as_one(client: Client, stage: Stage) -> None:
    group = stage.group()
    error = await refused(client, "add_group_members", group=group, members=[stage.person(), "Zzyzx"])
    assert "1 of 2 entries unclear: “Zzyzx”" in error["message"]
    assert "the other 1 was found" in error["message"]
    error = await refused(client, "add_group_members", group=group, members=["Zzyzx"])
    assert error["message"].startswith("members: ")
    assert "“Zzyzx”" in error["message"]
    assert "list_users" in error["message"]


async def test_more_matches_than_can_be_looked_through(client: Client, stage: Stage) -> None:
    for number in range(520):
        stage.change(
            "INSERT INTO groups (public_id, name, name_key, source, source_key, created, modified) "
            "VALUES (?, ?, ?, 'plusplus', 'plusplus', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')",
            f"00000000-0000-4000-8000-{number:012}",
            f"Team {number}",
            f"team {number}",
        )
    error = await refused(client, "get_group", group="Team")
    assert "more groups than can be looked through: give the public_id" in error["message"]
    assert (await ask(client, "get_group", group="team 519"))["item"]["name"] == "Team 519"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("01HXY8C5FZ7N4S0M2D3J6Q7K9P", "01HXY8C5FZ7N4S0M2D3J6Q7K9P"),
        ("01HXY8C5FZ7N4S0M2D3J6Q7K9", None),
        ("81HXY8C5FZ7N4S0M2D3J6Q7K9P", None),
        (NOBODY.upper(), NOBODY),
        (NOBODY + "x", None),
        (f"{WEB}/groups/{NOBODY}/members/{NOBODY[:-1]}1", NOBODY[:-1] + "1"),
        (f"{WEB}/groups?id={NOBODY}", None),
        (f"{WEB}/groups/x{NOBODY}", None),
        (f"see {WEB}/groups/{NOBODY}", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_the_id_in_a_text(text: str, found: str | None) -> None:
    assert id_in(text) == found
