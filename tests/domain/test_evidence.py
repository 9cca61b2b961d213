"""Evidence within Stripe's limits."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from app.domain.evidence import LONGEST_FIELD, LONGEST_TOGETHER, Evidence, cut_to, evidence_text, stripe_fields
from app.domain.history import HistoryEntry
from app.localization import Localization

WRITING = Localization(Locale.parse("en_US"), ZoneInfo("America/Chicago"))
NOW = datetime(2026, 7, 3, tzinfo=UTC)
EMPTY = Evidence(
    publisher="Slow Ferry",
    subscriber_id="rdr_1",
    name=None,
    email=None,
    address=(),
    created_at=NOW,
    consents=(),
    declarations=(),
    payments=(),
    copies=(),
    history=(),
)


def test_nothing_recorded_is_said_and_fills_no_field() -> None:
    assert set(stripe_fields(EMPTY, WRITING)) == {"uncategorized_text"}
    assert "Nothing recorded." in evidence_text(EMPTY, WRITING)


@given(st.integers(0, 4000), st.integers(1, 200))
def test_fields_never_exceed_stripes_limits(entries: int, width: int) -> None:
    history = [HistoryEntry(at=NOW, kind="paid", date="July 3", text="x" * width)] * entries
    fields = stripe_fields(replace(EMPTY, history=history, name="Ada"), WRITING)
    assert all(len(text) <= LONGEST_FIELD for text in fields.values())
    assert sum(map(len, fields.values())) <= LONGEST_TOGETHER


@given(st.text(), st.integers(0, 50))
def test_cut_text_fits_and_begins_as_before(text: str, longest: int) -> None:
    cut = cut_to(text, longest)
    assert len(cut) <= max(longest, 0) or cut == text
    assert len(cut) <= longest or len(text) <= longest
    if len(text) > longest >= 10:
        assert text.startswith(cut.split("\n[…]")[0])
