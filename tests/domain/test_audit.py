"""The hash chain of the audit log: later changes are detected, and it contains no free text."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.audit import CHANGED, REMOVED, Break, Entry, Seal, find_break, seal, split_reason

Row = tuple[Seal, Entry | None]
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
facts = st.none() | st.dictionaries(
    words, st.none() | st.booleans() | st.integers() | words | st.lists(words), max_size=3
)


def entry(number: int, **more: object) -> Entry:
    plain = Entry(
        id=number,
        at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number),
        actor="staff:agent",
        action="refund.requested",
        object_id=f"rfd_{number}",
        subscriber_id="rdr_1",
        reason="other",
        before=None,
        after={"amount": number},
        request_id=None,
    )
    return replace(plain, **more)  # type: ignore[arg-type]  # a test names its own fields


entries = st.lists(
    st.builds(
        lambda **more: more,
        actor=words,
        action=words,
        object_id=words,
        subscriber_id=st.none() | words,
        reason=st.none() | words,
        before=facts,
        after=facts,
        request_id=st.none() | words,
    ),
    min_size=1,
    max_size=6,
).map(lambda many: [entry(number, **more) for number, more in enumerate(many, 1)])


def chained(of: Sequence[Entry]) -> list[Row]:
    rows: list[Row] = []
    for one in of:
        rows.append((seal(one, after=rows[-1][0] if rows else None), one))
    return rows


def first_break(rows: Sequence[Row]) -> Break | None:
    last = None
    for found, one in rows:
        what = find_break(found, one, after=last)
        if what is not None:
            return what
        last = found
    return None


@given(entries)
def test_an_unchanged_log_verifies_in_any_order_of_ids(of: list[Entry]) -> None:
    assert first_break(chained(of)) is None
    assert first_break(chained(of[::-1])) is None


@given(entries, st.data())
def test_any_change_of_a_column_is_located(of: list[Entry], data: st.DataObject) -> None:
    rows = chained(of)
    at = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(["actor", "action", "object_id", "subscriber_id", "reason", "request_id"]))
    kept = getattr(of[at], column)
    rows[at] = (rows[at][0], replace(of[at], **{column: f"{kept}x"}))  # type: ignore[arg-type]

    what = first_break(rows)

    assert what is not None
    assert (what.what, what.audit_id, what.seq) == (CHANGED, of[at].id, at + 1)


@pytest.mark.parametrize(
    "change",
    [{"at": datetime(2026, 3, 2, tzinfo=UTC)}, {"after": {"amount": "2"}}, {"after": None}, {"before": {}}, {"id": 9}],
)
def test_a_changed_time_fact_or_id_is_detected(change: dict[str, object]) -> None:
    rows = chained([entry(1), entry(2), entry(3)])
    rows[1] = (rows[1][0], replace(entry(2), **change))  # type: ignore[arg-type]

    what = first_break(rows)

    assert what is not None
    assert (what.what, what.seq) == (CHANGED, 2)


@given(entries, st.data())
def test_any_removal_is_detected(of: list[Entry], data: st.DataObject) -> None:
    rows = chained([*of, entry(99)])
    at = data.draw(st.integers(0, len(of) - 1))
    without_entry = [*rows[:at], (rows[at][0], None), *rows[at + 1 :]]
    without_both = rows[:at] + rows[at + 1 :]
    closed_up = [(replace(found, seq=number), one) for number, (found, one) in enumerate(without_both, 1)]

    missing = first_break(without_entry)
    assert missing is not None
    assert (missing.what, missing.audit_id) == (REMOVED, of[at].id)
    gap = first_break(without_both)
    assert gap is not None
    assert (gap.what, gap.seq) == (REMOVED, at + 1)
    assert first_break(closed_up) is not None


@given(entries, st.data())
def test_any_insertion_is_detected_even_with_a_consistent_seal(of: list[Entry], data: st.DataObject) -> None:
    rows = chained(of)
    at = data.draw(st.integers(0, len(rows) - 1))
    forged = entry(99)
    put_in = (seal(forged, after=rows[at - 1][0] if at else None), forged)
    after = [(replace(found, seq=found.seq + 1), one) for found, one in rows[at:]]

    what = first_break([*rows[:at], put_in, *after])

    assert what is not None
    assert what.seq == at + 2


@pytest.mark.parametrize(
    ("actor", "reason", "kept"),
    [
        ("staff:agent", "hardship", ("hardship", None)),
        ("staff:agent", "other: Ada Byron moved", ("other", "Ada Byron moved")),
        ("staff:agent", "Ada Byron moved", (None, "Ada Byron moved")),
        ("reader:ada", "byron", (None, "byron")),
        ("policy", "ended:guarantee", ("ended:guarantee", None)),
        ("stripe", "lost_or_stolen_card", ("lost_or_stolen_card", None)),
        ("stripe", "A card of Ada Byron", (None, "A card of Ada Byron")),
        ("staff:agent", None, (None, None)),
    ],
)
def test_free_text_is_stored_apart_from_the_sealed_entry(actor: str, reason: str | None, kept: object) -> None:
    assert split_reason(reason, actor=actor) == kept
