"""Colors that a publisher chooses can be read, and the derived ones too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.branding import (
    BORDER_CONTRAST,
    DARK,
    LIGHT,
    TEXT_CONTRAST,
    Brand,
    Colors,
    contrast,
    for_dark,
    mix,
    readable,
)

COLORS = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")
# Pairs whose ratio WebAIM's and the W3C's own calculators give.
KNOWN = [
    ("#000000", "#ffffff", 21.0),
    ("#777777", "#ffffff", 4.48),
    ("#0000ff", "#ffffff", 8.59),
    ("#ff0000", "#ffffff", 4.0),
]


@pytest.mark.parametrize(("one", "other", "ratio"), KNOWN)
def test_contrast_is_that_of_the_guidelines(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)
    assert contrast(one, other) == contrast(other, one)


@given(COLORS, COLORS)
def test_a_readable_color_has_enough_contrast_on_any_background(color: str, background: str) -> None:
    assert contrast(readable(color, on=background), background) >= TEXT_CONTRAST


@given(COLORS, COLORS)
def test_a_color_that_is_readable_already_is_kept(color: str, background: str) -> None:
    if contrast(color, background) >= TEXT_CONTRAST:
        assert readable(color, on=background) == color


@given(COLORS, COLORS, COLORS)
def test_colors_without_faults_make_every_text_and_border_readable(background: str, text: str, accent: str) -> None:
    colors = Colors(background=background, text=readable(text, on=background), accent=readable(accent, on=background))
    assert list(colors.faults()) == []
    found = colors.properties()
    assert contrast(found["on-accent"], found["accent"]) >= TEXT_CONTRAST
    assert all(contrast(found[name], background) >= TEXT_CONTRAST for name in ("muted", "danger"))
    assert contrast(found["field"], background) >= BORDER_CONTRAST


def test_a_fault_names_the_nearest_color_that_can_be_read() -> None:
    ((name, fault),) = Colors(background="#ffffff", text="#111111", accent="#ffcc00").faults()
    assert name == "accent"
    assert "1.5:1" in fault
    better = fault.rpartition(" ")[2]
    assert contrast(better, "#ffffff") >= TEXT_CONTRAST


def test_the_default_colors_are_readable() -> None:
    assert [*LIGHT.faults(), *DARK.faults()] == []
    assert contrast(for_dark("#101020", background=DARK.background), DARK.background) >= TEXT_CONTRAST
    assert mix("#000000", "#ffffff", 0.5) == "#808080"


def test_the_contact_is_an_address_or_a_page() -> None:
    assert Brand(contact="help@example.com").contact_url == "mailto:help@example.com"
    assert Brand(contact="https://example.com/help").contact_url == "https://example.com/help"
    assert Brand().contact_url is None
