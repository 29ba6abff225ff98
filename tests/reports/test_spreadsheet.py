"""Cells and rows: nothing that a spreadsheet computes, and every row as it was."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pp_mcp.server.csv import Sheet, cell

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.lists(st.text(max_size=5), max_size=3)
)


SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼₌⁺₊⁻₋−‐‑‒–—―˗﬩꞊➕➖゠⸺"
"""What begins a formula, and what looks as if it did."""

BEGINNINGS = tuple(SIGNS)


@given(value=VALUES | st.text(alphabet=SIGNS + " \t\r\n\u00a0\u200b\x1b'\"a1", max_size=8))
def test_no_cell_begins_a_formula(value: Any) -> None:
    made = cell(value)
    assert not made.lstrip().startswith((*BEGINNINGS, "\t", "\r"))


@given(values=st.lists(st.text(alphabet=SIGNS + "a,; \t\n\r\"'|", max_size=9), min_size=1, max_size=4))
def test_no_cell_begins_a_formula_behind_another_separator(values: list[str]) -> None:
    sheet = Sheet(["a"])
    text = sheet.text([sheet.line({f"c{number}": value for number, value in enumerate(values)})])
    for separator in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            for made in row:
                assert not made.lstrip(' \u00a0"').startswith(BEGINNINGS), (separator, made)


def test_ordinary_words_stay_as_they_are() -> None:
    for text in ("Security 101", "a - b", "one, two", "C++; Java", "jane.doe@acme.example", "50 % = half"):
        assert cell(text) == text


@given(rows=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "=d"]), VALUES, max_size=4), max_size=6))
def test_every_row_comes_back_as_it_was(rows: list[dict[str, Any]]) -> None:
    sheet = Sheet(["a", "b"])
    text = sheet.text([sheet.line(row) for row in rows])
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[0][:2] == ["a", "b"]
    assert {len(line) for line in read} == {len(read[0])}
    assert len(read) == len(rows) + 1
    for row, line in zip(rows, read[1:], strict=True):
        found = dict(zip(read[0], line, strict=True))
        assert found == {
            **dict.fromkeys(read[0], ""),
            **{cell(name): cell(value) for name, value in row.items() if value is not None},
        }
