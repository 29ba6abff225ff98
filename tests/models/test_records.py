"""Records are read leniently, and as the reference shows them."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from pp_mcp import models
from pp_mcp.models import (
    ApiToken,
    Article,
    Assignment,
    ContentItem,
    ContentRef,
    Enrollment,
    EventRef,
    Group,
    GroupRef,
    Page,
    PersonRef,
    User,
    read_page,
)

ID = "eb3ce6c7-ce7e-4638-a072-e5054706f601"
JANE = {"public_id": ID, "name": "Jane Doe", "email": "jane.doe@company.com"}
TIME = "2019-08-24T14:15:22Z"

# As the public reference prints them.
SAMPLES: list[tuple[type[Any], dict[str, Any]]] = [
    (
        User,
        {**JANE, "role": "admin", "employee_id": "EMP-1", "is_active": True, "manager": JANE, "date_joined": TIME},
    ),
    (
        Group,
        {"public_id": ID, "name": "Team", "source": "plusplus", "member_count": 0, "created": TIME, "modified": TIME},
    ),
    (
        ContentItem,
        {
            "public_id": ID,
            "name": "Security 101",
            "content_type": "article",
            "description": "",
            "is_archived": False,
            "is_hidden": False,
            "is_completable": True,
            "is_self_assignable": True,
            "duration_minutes": 30,
            "avg_feedback_rating": 4.2,
            "total_assignments": 10,
            "completed_assignments_count": 5,
            "created": TIME,
            "modified": TIME,
            "groups": [{"public_id": ID, "name": "Team"}],
        },
    ),
    (
        Assignment,
        {
            "public_id": ID,
            "user": JANE,
            "content_item": {"public_id": ID, "name": "Security 101", "content_type": "article"},
            "state": "in_progress",
            "progress": 0.5,
            "score": None,
            "is_success": None,
            "due_date": "2019-08-24",
            "is_overdue": True,
            "started_at": TIME,
            "completed_datetime": None,
            "dropped_at": None,
            "exempted_at": None,
            "expires_at": None,
            "feedback_rating": 5,
            "attempt": 1,
            "created": TIME,
        },
    ),
    (
        Enrollment,
        {
            "public_id": ID,
            "user": JANE,
            "event": {"public_id": ID, "name": "Workshop"},
            "status": "enrolled",
            "attendance_method": "in_person",
            "checkin_datetime": TIME,
            "state": "not_started",
            "created": TIME,
        },
    ),
]


@pytest.mark.parametrize(("model", "sample"), SAMPLES, ids=[model.__name__ for model, _ in SAMPLES])
def test_a_sample_is_read_whole_and_unchanged(model: type[Any], sample: dict[str, Any]) -> None:
    record = model.model_validate(sample)
    assert record.model_dump() == sample
    assert record.model_extra == {}


@pytest.mark.parametrize(("model", "sample"), SAMPLES, ids=[model.__name__ for model, _ in SAMPLES])
def test_what_nobody_documented_stays(model: type[Any], sample: dict[str, Any]) -> None:
    record = model.model_validate({**sample, "mood": {"x": 1}, "model_fields": 3})
    assert record.model_extra == {"mood": {"x": 1}, "model_fields": 3}
    assert record.model_dump()["mood"] == {"x": 1}


@pytest.mark.parametrize(("model", "sample"), SAMPLES, ids=[model.__name__ for model, _ in SAMPLES])
def test_the_least_there_must_be(model: type[Any], sample: dict[str, Any]) -> None:
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    record = model.model_validate({name: sample[name] for name in needed})
    left_out = {name for name in model.model_fields if name not in needed}
    assert {getattr(record, name) for name in left_out} <= {None, ""}
    for name in needed:
        with pytest.raises(ValidationError):
            model.model_validate({key: value for key, value in sample.items() if key != name})


@pytest.mark.parametrize("public_id", [7, 7.0, "", None, True, {}, []])
@pytest.mark.parametrize(("model", "sample"), SAMPLES, ids=[model.__name__ for model, _ in SAMPLES])
def test_an_id_is_text(model: type[Any], sample: dict[str, Any], public_id: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({**sample, "public_id": public_id})
    assert [fault["loc"] for fault in caught.value.errors()] == [("public_id",)]


@pytest.mark.parametrize("value", ["mentor_program", "ON FIRE", ""])
def test_unknown_values_pass(value: str) -> None:
    assert ContentItem(public_id=ID, content_type=value).content_type == value
    assert User(public_id=ID, role=value).role == value
    sample = SAMPLES[3][1]
    assert Assignment.model_validate({**sample, "state": value}).state == value


@pytest.mark.parametrize(
    ("names", "name", "label"),
    [
        ({"name": "Jo"}, "Jo", "Jo"),
        ({"first_name": "Jo", "last_name": "Li"}, "Jo Li", "Jo Li"),
        ({"first_name": " Jo "}, "Jo", "Jo"),
        ({"last_name": "Li", "first_name": None}, "Li", "Li"),
        ({"name": "Jo", "first_name": "X"}, "Jo", "Jo"),
        ({"name": None, "first_name": "X"}, "X", "X"),
        ({"name": "", "first_name": 3, "email": "jo@x"}, "", "jo@x"),
        ({}, "", ID),
        ({"name": {"x": 1}}, "", ID),
    ],
)
@pytest.mark.parametrize("model", [User, PersonRef])
def test_names_of_people(model: type[User] | type[PersonRef], names: dict[str, Any], name: str, label: str) -> None:
    person = model.model_validate({"public_id": ID, **names})
    assert (person.name, person.label) == (name, label)


@pytest.mark.parametrize("model", [Group, GroupRef, ContentRef, ContentItem, EventRef])
def test_labels_of_things(model: type[Group]) -> None:
    assert model(public_id=ID, name="N").label == "N"
    assert model.model_validate({"public_id": ID, "name": None}).label == ID


def test_a_related_record_may_be_its_id_alone() -> None:
    user = User.model_validate({"public_id": "a", "manager": "b"})
    assert user.manager == PersonRef(public_id="b")
    item = ContentItem.model_validate({"public_id": "a", "groups": ["b", {"public_id": "c", "name": "C"}]})
    assert item.groups == [GroupRef(public_id="b"), GroupRef(public_id="c", name="C")]
    assignment = Assignment.model_validate({"public_id": "a", "user": "b", "content_item": "c", "state": "s"})
    assert (assignment.user.public_id, assignment.content_item.public_id) == ("b", "c")
    with pytest.raises(ValidationError):
        User.model_validate({"public_id": "a", "manager": ""})
    with pytest.raises(ValidationError):
        PersonRef.model_validate("b")


@pytest.mark.parametrize("key", ["duration", "duration_minutes"])
def test_two_names_of_the_duration(key: str) -> None:
    assert ContentItem.model_validate({"public_id": "a", key: 30}).duration_minutes == 30
    assert ContentItem(public_id="a", duration_minutes=7.5).duration_minutes == 7.5


@pytest.mark.parametrize(("given", "kept"), [("E1", "E1"), (17, "17"), (None, None)])
def test_employee_ids(given: Any, kept: str | None) -> None:
    assert User.model_validate({"public_id": "a", "employee_id": given}).employee_id == kept


def test_an_article_is_a_content_item() -> None:
    assert isinstance(Article(public_id="a"), ContentItem)
    assert Article(public_id="a").content_type == "article"
    assert ContentItem(public_id="a").groups is None
    assert ContentItem(public_id="a", groups=[]).groups == []


@pytest.mark.parametrize("key", ["token", "key", "secret", "api_token"])
def test_a_token_is_kept_secret(key: str) -> None:
    token = ApiToken.model_validate({"public_id": "a", "name": "CI", key: "pp_hush", "again": "pp_hush"})
    assert token.token == SecretStr("pp_hush")
    assert "pp_hush" not in f"{token!r} {token} {token.model_dump()} {token.model_dump_json()}"
    assert token.token.get_secret_value() == "pp_hush"


def test_a_token_that_cannot_be_read_is_not_told() -> None:
    with pytest.raises(ValidationError) as caught:
        ApiToken.model_validate({"name": "CI", "token": ["pp_hush"], "expires_at": "pp_hush", "public_id": 3})
    assert "pp_hush" not in str(caught.value)
    with pytest.raises(ValidationError):
        ApiToken.model_validate({"token": ""})


# ------------------------------------------------------------------------------------------------ pages


@pytest.mark.parametrize(
    ("body", "page"),
    [
        ({"data": [1], "meta": {"page": 2, "page_size": 10, "total_count": 41}}, Page([1], 2, 10, 41, 5)),
        (
            {"data": [1], "meta": {"page": 2, "page_size": 10, "total_count": 41, "total_pages": 9}},
            Page([1], 2, 10, 41, 9),
        ),
        ({"data": [], "meta": {"page": 0, "page_size": 0, "total_count": 0}}, Page([], 3, 20, 0, 0)),
        ({"data": [], "meta": {"total_count": 40}}, Page([], 3, 20, 40, 2)),
        ({"data": [], "meta": {"total_count": 41, "page": "x", "page_size": -1}}, Page([], 3, 20, 41, 3)),
        ({"items": [1], "count": 1}, Page([1], 3, 20, 1, 1)),
        ({"results": [1], "total": 1}, Page([1], 3, 20, 1, 1)),
        ({"data": None, "items": [1], "total_count": 1}, Page([1], 3, 20, 1, 1)),
    ],
)
def test_pages(body: object, page: Page[object]) -> None:
    assert read_page(body, page=3, page_size=20) == page


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        "x",
        {},
        {"data": []},
        {"data": {}, "meta": {"total_count": 1}},
        {"data": [], "meta": {"total_count": "41"}},
        {"data": [], "meta": {"total_count": True}},
        {"data": [], "meta": {"total_count": -1}},
        {"data": [], "meta": []},
        {"meta": {"total_count": 0}},
    ],
)
def test_what_is_no_page(body: object) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        read_page(body, page=1, page_size=20)


@pytest.mark.parametrize(("page", "pages", "following"), [(1, 3, 2), (3, 3, None), (4, 3, None), (1, 0, None)])
def test_the_page_after(page: int, pages: int, following: int | None) -> None:
    assert Page([], page, 25, 60, pages).next_page == following


def test_all_is_exported() -> None:
    assert sorted(models.__all__) == models.__all__
    assert all(hasattr(models, name) for name in models.__all__)
