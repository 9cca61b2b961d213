"""Which names can be stored and shown."""

import pytest

from app.domain.text import is_showable


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Ada \U0001f469\u200d\U0001f4bb", id="emoji with a joiner"),
        pytest.param("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", id="Persian with a non-joiner"),
        pytest.param("\u05d3\u05e0\u05d4\u200f", id="Hebrew with a direction mark"),
        pytest.param("Jean\u00a0Paul", id="no-break space"),
        pytest.param("<b>O\u2019Brien</b>", id="HTML"),
    ],
)
def test_names_of_people_are_kept(name: str) -> None:
    assert is_showable(name)


@pytest.mark.parametrize(
    "name",
    ["Ada\nBcc: x@example.com", "Ada\x00", "Ada\x1b[31m", "Ada\u2028x", "\u202eadA", "\u2066Ada", "Ada\ud800"],
    ids=["line break", "NUL", "escape", "line separator", "override", "isolate", "lone surrogate"],
)
def test_names_that_break_a_line_or_reorder_text_are_not_kept(name: str) -> None:
    assert not is_showable(name)
