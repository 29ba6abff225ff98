import pytest
from hypothesis import given
from hypothesis import strategies as st

from pp_mcp.api import ROUTES
from pp_mcp.api.routes import check_id, fill
from pp_mcp.errors import InvalidArgument
from pp_mcp.models import User

from .play import Connect, success

FIT = st.from_regex(r"\A[A-Za-z0-9_-]{1,128}\Z")


@given(FIT)
def test_opaque_ids_pass(public_id: str) -> None:
    assert check_id(public_id) == public_id
    assert fill("/users/{public_id}", public_id) == f"/users/{public_id}"


@pytest.mark.parametrize("public_id", ["eb3ce6c7-ce7e-4638-a072-e5054706f601", "01HXY8C5FZ7N4S0M2D3J6Q7K9P", "a" * 128])
def test_the_documented_forms_pass(public_id: str) -> None:
    assert check_id(public_id) == public_id


@pytest.mark.parametrize(
    "public_id",
    [
        "", ".", "..", "a/b", "/", "\\", "a\\b", "%2f", "a%2Fb", "a?b", "a#b", "a b", " a", "a\n", "\x00", "a\tb", "é",
        "a" * 129, "a.b", "a;b", "a:b", "@", "٣", "\u202ea",
    ],
)  # fmt: skip
def test_others_do_not(public_id: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_id(public_id, argument="user")
    assert list(caught.value.field_errors) == ["user"]


@given(st.text())
def test_whatever_passes_stays_one_step_of_the_path(public_id: str) -> None:
    try:
        path = fill("/groups/{public_id}/members", public_id)
    except InvalidArgument:
        return
    assert path.count("/") == 3
    assert path.isascii()
    assert path.endswith("/members")
    assert not {*path} & set("?#%\\. \n")


@pytest.mark.parametrize(("template", "public_id"), [("/users", "x"), ("/users/{public_id}", None)])
def test_an_id_too_many_or_too_few(template: str, public_id: str | None) -> None:
    with pytest.raises(InvalidArgument):
        fill(template, public_id)


@pytest.mark.anyio
@pytest.mark.parametrize("operation", [name for name, route in ROUTES.items() if "{" in route.path])
async def test_nothing_is_sent_for_an_unfit_id(connect: Connect, operation: str) -> None:
    client, script = connect(success)
    api = client.call()
    with pytest.raises(InvalidArgument):
        await api.one(operation, User, "../users")
    with pytest.raises(InvalidArgument):
        await api.write(operation, User, {}, public_id="a/b")
    with pytest.raises(InvalidArgument):
        await api.erase(operation, public_id="")
    assert script.sent == 0
