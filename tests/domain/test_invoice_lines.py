"""What the lines of an invoice bill, and what a paid invoice changes."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest

from app.domain.invoice_lines import (
    InvoiceEffect,
    InvoiceLine,
    LineKind,
    Span,
    charged_too_late,
    effect_of,
    print_share,
    print_spans,
)

START, MID, END, LATER = (
    datetime(year, month, 1, tzinfo=UTC) for year, month in ((2026, 3), (2026, 9), (2027, 3), (2028, 3))
)
YEAR, REST, NEXT = Span(START, END), Span(MID, END), Span(END, LATER)
DIGITAL = InvoiceLine(plan="annual", component="digital", amount=49_00, span=YEAR)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param(DIGITAL, LineKind.PERIOD, id="period"),
        pytest.param(replace(DIGITAL, amount=0), LineKind.TRIAL, id="free although the price is not"),
        pytest.param(replace(DIGITAL, amount=0, free_price=True), LineKind.PERIOD, id="free price"),
        pytest.param(replace(DIGITAL, proration=True), LineKind.REMAINING, id="charged proration"),
        pytest.param(
            replace(DIGITAL, proration=True, amount=0), LineKind.REMAINING, id="proration made free by a coupon"
        ),
        pytest.param(replace(DIGITAL, proration=True, amount=-1), LineKind.UNUSED, id="credit of an older version"),
        pytest.param(
            replace(DIGITAL, proration=True, amount=0, credits_lines=True),
            LineKind.UNUSED,
            id="credit of a free period",
        ),
        pytest.param(replace(DIGITAL, of_subscription=False), LineKind.ONE_OFF, id="one-off item for our product"),
        pytest.param(replace(DIGITAL, plan=None, component=None), LineKind.FOREIGN, id="other product"),
    ],
)
def test_a_line_is_classified_by_price_period_and_parent(line: InvoiceLine, kind: LineKind) -> None:
    assert line.kind is kind


def test_a_credit_and_a_charge_for_the_same_time_end_and_add_nothing() -> None:
    printed = replace(DIGITAL, component="print", proration=True, span=REST)
    lines = [replace(printed, amount=-12_00, credits_lines=True), replace(printed, amount=24_00)]

    assert effect_of(lines, paid_at=MID) == InvoiceEffect()


def test_print_added_within_a_term_starts_when_it_is_paid() -> None:
    line = replace(DIGITAL, component="print", proration=True, span=REST)
    paid_at = datetime(2026, 10, 15, tzinfo=UTC)

    assert effect_of([line], paid_at=MID).print_added == (REST,)
    assert effect_of([line], paid_at=paid_at).print_added == (Span(paid_at, END),)
    assert effect_of([line], paid_at=END).print_added == (), "copies of the past can't be sent"


def test_periods_of_print_are_merged_and_cut_in_order_of_time() -> None:
    effects = [
        InvoiceEffect(print_added=(YEAR,)),
        InvoiceEffect(print_added=(NEXT,)),
        InvoiceEffect(print_ended=(REST,)),
    ]

    assert print_spans(effects[:2]) == [Span(START, LATER)]
    assert print_spans(effects) == [Span(START, MID), NEXT]
    assert print_spans([*effects, InvoiceEffect(print_added=(REST,))]) == [Span(START, LATER)], "added again"


def test_print_is_charged_too_late_if_its_time_was_over_when_it_was_paid() -> None:
    added = replace(DIGITAL, component="print", proration=True, amount=12_00, span=REST)
    dropped = replace(added, amount=-12_00, credits_lines=True)
    renewal = [replace(DIGITAL, span=NEXT), added]

    assert charged_too_late(renewal, paid_at=END) == 12_00
    assert charged_too_late([added], paid_at=MID) == 0, "the rest of the period is ahead"
    assert charged_too_late([*renewal, dropped], paid_at=END) == 0, "added and dropped again"
    assert charged_too_late([replace(DIGITAL, proration=True, span=REST)], paid_at=END) == 0


PRINTED = replace(DIGITAL, component="print", amount=24_00)


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        pytest.param((DIGITAL, PRINTED), Fraction(24, 73), id="both editions"),
        pytest.param((DIGITAL,), Fraction(0), id="digital"),
        pytest.param((PRINTED,), Fraction(1), id="print"),
        pytest.param((replace(DIGITAL, discount=49_00), PRINTED), Fraction(1), id="a discount makes digital free"),
        pytest.param((replace(DIGITAL, added_tax=9_80), PRINTED), Fraction(24, 73), id="added tax is left out"),
        pytest.param((DIGITAL, PRINTED, replace(DIGITAL, amount=-20_00)), Fraction(24, 73), id="a credit reduces both"),
        pytest.param((replace(DIGITAL, amount=0),), Fraction(0), id="free"),
    ],
)
def test_the_share_of_print_is_that_of_the_prices_that_are_charged(
    lines: tuple[InvoiceLine, ...], share: Fraction
) -> None:
    assert print_share(lines) == share
