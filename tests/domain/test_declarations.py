"""Declarations: what an acknowledgment says, and when a cancellation without a sign-in is certain."""

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from app.domain.declarations import (
    Acknowledged,
    CancellationInvalid,
    CancellationNotice,
    DeclarationKind,
    Language,
    acknowledgment,
)
from app.domain.money import Money
from app.localization import Localization

WRITING = Localization(Locale.parse("en_US"), ZoneInfo("America/Chicago"))
NOTICE = CancellationNotice(name="Ada Invented", email="ada@example.com", contract="24 Issues Per Year")
SAID = Acknowledged(
    kind=DeclarationKind.WITHDRAWAL,
    publisher="Slow Ferry",
    id="dcl_1",
    received_at=datetime(2026, 7, 3, 12, 5, 9, tzinfo=UTC),
    contract="24 Issues Per Year (scr_1)",
    name="Ada Invented",
    refund=Money(49_00, "usd"),
)


def test_acknowledgment_has_what_was_declared_and_when() -> None:
    assert acknowledgment(SAID, Language.ENGLISH, WRITING).splitlines() == [
        "Slow Ferry",
        "Acknowledgment of your withdrawal from the contract",
        "",
        "Received: Jul 3, 2026, 7:05 AM CDT (2026-07-03 12:05:09 UTC)",
        "Reference: dcl_1",
        "Contract: 24 Issues Per Year (scr_1)",
        "Name: Ada Invented",
        "Refund: $49",
        "",
        "Please keep this acknowledgment.",
    ]


def test_acknowledgment_in_german_has_german_labels() -> None:
    said = replace(SAID, kind=DeclarationKind.CANCELLATION, words={**NOTICE.shown, "Grund": "zu teuer"})
    text = acknowledgment(said, Language.GERMAN, WRITING)
    assert "Bestätigung Ihrer Kündigung" in text
    assert "Grund: zu teuer" in text


@given(st.text(max_size=80))
def test_what_was_entered_never_looks_like_a_line_of_ours(entered: str) -> None:
    text = acknowledgment(replace(SAID, name=f"Ada\nRefund: $9,999{entered}"), Language.ENGLISH, WRITING)
    assert sum(line.startswith("Refund:") for line in text.splitlines()) <= 1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "Ada\x1b[31m"}, "name"),
        ({"contract": ""}, "contract"),
        ({"extraordinary": True}, "reason"),
        ({"extraordinary": True, "reason": "  "}, "reason"),
        ({"ends_on": date(2026, 7, 2)}, "ends_on"),
    ],
)
def test_incomplete_notice_names_its_field(changed: dict[str, object], field: str) -> None:
    with pytest.raises(CancellationInvalid) as refused:
        replace(NOTICE, **changed).checked(today=date(2026, 7, 3))  # type: ignore[arg-type]
    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    ("name", "contract", "known", "certain"),
    [
        pytest.param("Ada Invented", "the magazine", "Ada Invented", True, id="the name"),
        pytest.param("invented, ada", "the magazine", "Ada Invented", True, id="in another order and case"),
        pytest.param("ÁDA INVENTED", "the magazine", "Ada Invented", True, id="with an accent"),
        pytest.param("Bob", "the magazine", "Ada Invented", False, id="another name"),
        pytest.param("Bob", "No. SCR_12345 please", "Ada Invented", True, id="a number of the contract"),
        pytest.param("Bob", "12", "Ada Invented", False, id="a part of a number"),
        pytest.param("", "the magazine", "", False, id="no name is no match"),
        pytest.param("Ada", "the magazine", None, False, id="the reader has no name here"),
    ],
)
def test_notice_is_certain_with_name_or_number(name: str, contract: str, known: str | None, certain: bool) -> None:
    assert replace(NOTICE, name=name, contract=contract).is_from(known, ["scr_12345", "12"]) == certain


@given(
    st.builds(
        CancellationNotice,
        name=st.text(min_size=1),
        email=st.text(min_size=1),
        contract=st.text(min_size=1),
        extraordinary=st.booleans(),
        reason=st.none() | st.text(min_size=1),
        ends_on=st.none() | st.dates(),
        language=st.sampled_from(Language),
    )
)
def test_notice_is_stored_and_loaded_unchanged(notice: CancellationNotice) -> None:
    assert CancellationNotice.load(notice.words) == notice
