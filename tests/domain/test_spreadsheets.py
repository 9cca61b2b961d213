"""Cells of CSV files are never formulas."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.spreadsheets import FORMULA_STARTS, cell, rows


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "\n=1"])
def test_formula_becomes_text(formula: str) -> None:
    assert cell(formula) == f"'{formula}"


@pytest.mark.parametrize("text", ["Kit Marlowe", "kit@example.com", "O'Brien", "", "1-2", "a=b"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text


@given(st.lists(st.lists(st.text(), min_size=1, max_size=4), max_size=4))
def test_rows_are_read_as_they_were_written(values: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(rows(values), newline="")))
    assert read == [[cell(one) for one in row] for row in values]
    assert not any(one[:1] in FORMULA_STARTS for row in read for one in row if one)
