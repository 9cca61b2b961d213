"""
The terms and payments that follow from invoices in the shapes that Stripe documents.

https://docs.stripe.com/billing/subscriptions/prorations, …/upgrade-downgrade, …/trials, …/billing-cycle, …/mixed-interval,
…/billing-thresholds and https://docs.stripe.com/invoicing/subscription.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.payments import payments_of
from app.domain.subscriptions import PaymentKind, StripeSubscriptionState
from app.domain.terms import terms_of
from app.gateway import translate
from app.gateway.client import Plain
from tests.domain.test_entitlements import CATALOGUE as ANNUAL_ONLY

ANNUAL = ANNUAL_ONLY.plan("annual")
CATALOGUE = replace(
    ANNUAL_ONLY,
    plans={
        "annual": ANNUAL,
        "monthly": replace(ANNUAL, code="monthly", interval="month", issues=2),
        "deluxe": replace(ANNUAL, code="deluxe", issues=48),
    },
)
DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"
MONTHLY, DELUXE, MUG = "newsstand_monthly_digital", "newsstand_deluxe_digital", "prod_mug"
Json = dict[str, Any]
Term = tuple[str, str, str, int, str]  # plan, start, end, issues, and when print is included


def at(day: str) -> int:
    """Return a day as a Stripe timestamp."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def line(product: str, amount: int, start: str, end: str, **more: Any) -> Json:
    """Return the line of a subscription item for a period."""
    item = more.pop("item", f"si_{product}")
    details = {"subscription_item": item, "subscription": "sub_1", "invoice_item": None, "proration": False}
    return {
        "id": "il_1",
        "amount": amount,
        "period": {"start": at(start), "end": at(end)},
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
        "pricing": {"type": "price_details", "price_details": {"price": f"price_{product}", "product": product}},
        "quantity": 1,
        **more,
    }


def proration(product: str, amount: int, start: str, end: str, *, names_credit: bool = True) -> Json:
    """Return a proration. A negative amount is a credit, which names the lines that it credits."""
    made = line(product, amount, start, end)
    credited = {"invoice": "in_1", "invoice_line_items": ["il_0"]} if amount < 0 and names_credit else None
    made["parent"]["subscription_item_details"] |= {
        "proration": True,
        "invoice_item": "ii_1",
        "proration_details": {"credited_items": credited},
    }
    return made


def pending_item(product: str, amount: int, start: str, end: str, *, prorated: bool = False) -> Json:
    """Return the line of an invoice item."""
    details = {"invoice_item": "ii_1", "subscription": "sub_1" if prorated else None, "proration": prorated}
    return {
        **line(product, amount, start, end),
        "parent": {"type": "invoice_item_details", "invoice_item_details": details},
    }


def old_line(
    product: str, amount: int, start: str, end: str, *, kind: str = "subscription", prorated: bool = False
) -> Json:
    """Return a line as before version 2025-03-31.basil: `type`, `proration` and the price are at the top level."""
    made = line(product, amount, start, end)
    del made["parent"], made["pricing"]
    of_item = (
        {"subscription": "sub_1", "subscription_item": f"si_{product}"} if kind == "subscription" or prorated else {}
    )
    price = {"id": f"price_{product}", "product": product}
    return {**made, **of_item, "type": kind, "proration": prorated, "price": price}


def invoice(*lines: Json, reason: str = "subscription_cycle", paid: str | None = None, **more: Any) -> Json:
    """Return an invoice that was paid when its newest period starts, or on a given day."""
    total = sum(one["amount"] for one in lines)
    paid_at = at(paid) if paid else max(one["period"]["start"] for one in lines)
    pays = {
        "amount_paid": total,
        "created": paid_at,
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
        "status": "paid",
        "status_transitions": {"paid_at": paid_at},
    }
    return {
        "id": f"in_{paid_at}_{reason}",
        "status": "paid",
        "billing_reason": reason,
        "number": "A-1",
        "total": total,
        "total_taxes": [],
        "amount_due": max(total, 0),
        "currency": "usd",
        "period_start": paid_at,
        "period_end": paid_at,
        "status_transitions": {"paid_at": paid_at},
        "hosted_invoice_url": None,
        "collection_method": "charge_automatically",
        "due_date": None,
        "auto_advance": False,
        "attempted": True,
        "last_finalization_error": None,
        "starting_balance": 0,
        "ending_balance": 0,
        "lines": {"data": lines, "has_more": False},
        "payments": {"data": [pays] if total > 0 else [], "has_more": False},
        **more,
    }


def seen(*invoices: Json, items: Sequence[Json] = (), **more: Any) -> StripeSubscriptionState:
    """Return the state of a subscription with these invoices."""
    found = {
        "id": "sub_1",
        "customer": "cus_1",
        "status": "active",
        "currency": "usd",
        "created": at("2026-03-01"),
        "items": {"data": list(items)},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "cancellation_details": None,
        "trial_end": None,
        "pause_collection": None,
        "schedule": None,
        "metadata": {},
        **more,
    }
    read = [json.loads(json.dumps(one), object_hook=Plain) for one in (found, *invoices)]
    return translate.subscription(read[0], read[1:])


def summary(state: StripeSubscriptionState) -> list[Term]:
    """Return the terms of a subscription in short."""
    found = []
    for term in terms_of(state, CATALOGUE):
        since, until = term.print_from or term.starts_at, term.print_until or term.ends_at
        printed = f"{since:%Y-%m-%d} to {until:%Y-%m-%d}" if term.print_edition else ""
        days = f"{term.starts_at:%Y-%m-%d}", f"{term.ends_at:%Y-%m-%d}"
        found.append((term.plan, *days, term.issues_owed, printed))
    return found


Y1, Y2, Y3 = "2026-03-01", "2027-03-01", "2028-03-01"
MID = "2026-09-01"
FIRST = invoice(line(DIGITAL, 49_00, Y1, Y2), reason="subscription_create")
BOTH = invoice(line(DIGITAL, 49_00, Y1, Y2), line(PRINT, 24_00, Y1, Y2), reason="subscription_create")
YEAR_1: Term = ("annual", Y1, Y2, 24, "")
YEAR_2: Term = ("annual", Y2, Y3, 24, "")
PRINTED_1: Term = ("annual", Y1, Y2, 24, f"{Y1} to {Y2}")
PRINTED_2: Term = ("annual", Y2, Y3, 24, f"{Y2} to {Y3}")
CHANGE = "subscription_update"
FREE: Json = {"total": 0, "amount_due": 0, "payments": {"data": [], "has_more": False}}

SHAPES = [
    pytest.param([FIRST], [YEAR_1], id="creation"),
    pytest.param([BOTH], [PRINTED_1], id="creation with print"),
    pytest.param([FIRST, invoice(line(DIGITAL, 49_00, Y2, Y3))], [YEAR_1, YEAR_2], id="renewal"),
    pytest.param(
        [BOTH, invoice(line(PRINT, 24_00, Y2, Y3), line(DIGITAL, 49_00, Y2, Y3))],
        [PRINTED_1, PRINTED_2],
        id="renewal with print, in another order",
    ),
    pytest.param([invoice(line(DIGITAL, 49_00, Y1, Y2), status="open")], [], id="open invoice"),
    pytest.param([invoice(line(DIGITAL, 49_00, Y1, Y2), status="void")], [], id="void invoice"),
    pytest.param(
        [
            FIRST,
            invoice(
                proration(DIGITAL, -24_50, MID, Y2), proration(DELUXE, 45_00, MID, Y2), line(DELUXE, 90_00, Y2, Y3)
            ),
        ],
        [("deluxe", Y1, Y2, 36, ""), ("deluxe", Y2, Y3, 48, "")],
        id="renewal after a plan change: unused A, remaining B, 1 × B",
    ),
    pytest.param(
        [FIRST, invoice(proration(DIGITAL, -24_50, MID, Y2), proration(DELUXE, 45_00, MID, Y2), reason=CHANGE)],
        [("deluxe", Y1, Y2, 36, "")],
        id="plan change with always_invoice: the term goes on with the new plan",
    ),
    pytest.param(
        [FIRST, invoice(proration(PRINT, 12_00, MID, Y2), reason=CHANGE)],
        [("annual", Y1, Y2, 24, f"{MID} to {Y2}")],
        id="print added with always_invoice",
    ),
    pytest.param(
        [FIRST, invoice(proration(PRINT, 12_00, MID, Y2), reason=CHANGE, paid="2026-10-15")],
        [("annual", Y1, Y2, 24, f"2026-10-15 to {Y2}")],
        id="print added with always_invoice, paid weeks later",
    ),
    pytest.param(
        [FIRST, invoice(proration(PRINT, 12_00, MID, Y2), reason=CHANGE, status="open")],
        [YEAR_1],
        id="print added with always_invoice, not paid",
    ),
    pytest.param(
        [
            FIRST,
            invoice(proration(PRINT, 12_00, MID, Y2), line(DIGITAL, 49_00, Y2, Y3), line(PRINT, 24_00, Y2, Y3)),
        ],
        [YEAR_1, PRINTED_2],
        id="print added with create_prorations: charged at the renewal",
    ),
    pytest.param(
        [FIRST, invoice(proration(PRINT, 12_00, MID, Y2), reason="manual")],
        [("annual", Y1, Y2, 24, f"{MID} to {Y2}")],
        id="print added with create_prorations, invoiced by hand",
    ),
    pytest.param(
        [FIRST, invoice(line(DIGITAL, 49_00, Y2, Y3), line(PRINT, 24_00, Y2, Y3))],
        [YEAR_1, PRINTED_2],
        id="print added with proration none",
    ),
    pytest.param(
        [BOTH, invoice(proration(PRINT, -12_00, MID, Y2), line(DIGITAL, 49_00, Y2, Y3))],
        [("annual", Y1, Y2, 24, f"{Y1} to {MID}"), YEAR_2],
        id="print dropped with create_prorations: credited at the renewal",
    ),
    pytest.param(
        [BOTH, invoice(proration(PRINT, -12_00, MID, Y2, names_credit=False), line(DIGITAL, 49_00, Y2, Y3))],
        [("annual", Y1, Y2, 24, f"{Y1} to {MID}"), YEAR_2],
        id="print dropped, in classic billing mode",
    ),
    pytest.param(
        [BOTH, invoice(proration(PRINT, -12_00, MID, Y2), reason=CHANGE)],
        [("annual", Y1, Y2, 24, f"{Y1} to {MID}")],
        id="print dropped with always_invoice: only a credit",
    ),
    pytest.param(
        [BOTH, invoice(line(DIGITAL, 49_00, Y2, Y3))], [PRINTED_1, YEAR_2], id="print dropped with proration none"
    ),
    pytest.param(
        [
            BOTH,
            invoice(proration(PRINT, -12_00, MID, Y2), reason=CHANGE),
            invoice(proration(PRINT, 6_00, "2026-12-01", Y2), reason=CHANGE),
        ],
        [("annual", Y1, Y2, 24, f"2026-12-01 to {Y2}")],
        id="print dropped and added again",
    ),
    pytest.param(
        [FIRST, invoice(proration(DIGITAL, -24_50, MID, Y2), proration(DIGITAL, 49_00, MID, Y2), reason=CHANGE)],
        [YEAR_1],
        id="quantity changed",
    ),
    pytest.param(
        [BOTH, invoice(proration(PRINT, -12_00, MID, Y2), proration(PRINT, 15_00, MID, Y2), reason=CHANGE)],
        [PRINTED_1],
        id="price of print changed",
    ),
    pytest.param(
        [
            invoice(line(MONTHLY, 4_90, "2026-03-01", "2026-04-01"), reason="subscription_create"),
            invoice(
                proration(MONTHLY, -2_45, "2026-03-16", "2026-04-01"),
                line(DIGITAL, 49_00, "2026-03-16", "2027-03-16"),
                reason=CHANGE,
            ),
        ],
        [("monthly", "2026-03-01", "2026-03-16", 2, ""), ("annual", "2026-03-16", "2027-03-16", 24, "")],
        id="monthly to yearly: a new period starts and the old one is credited",
    ),
    pytest.param(
        [
            BOTH,
            invoice(
                proration(DIGITAL, -24_50, MID, Y2),
                proration(PRINT, -12_00, MID, Y2),
                line(MONTHLY, 4_90, MID, "2026-10-01"),
                reason=CHANGE,
                **FREE,
            ),
        ],
        [("annual", Y1, MID, 24, f"{Y1} to {MID}"), ("monthly", MID, "2026-10-01", 2, "")],
        id="yearly with print to monthly: credited altogether",
    ),
    pytest.param(
        [FIRST, invoice(proration(DIGITAL, -24_50, MID, Y2), line(DIGITAL, 49_00, MID, "2027-09-01"), reason=CHANGE)],
        [("annual", Y1, MID, 24, ""), ("annual", MID, "2027-09-01", 24, "")],
        id="billing_cycle_anchor reset with a credit",
    ),
    pytest.param(
        [FIRST, invoice(line(DIGITAL, 49_00, MID, "2027-09-01"), reason=CHANGE)],
        [YEAR_1, ("annual", MID, "2027-09-01", 24, "")],
        id="billing_cycle_anchor reset without a credit: both are owed",
    ),
    pytest.param(
        [invoice(proration(DIGITAL, 24_50, MID, Y2), reason="subscription_create")],
        [("annual", MID, Y2, 12, "")],
        id="creation with a billing date: the first period is a proration",
    ),
    pytest.param([invoice(line(DIGITAL, 0, Y1, "2026-03-15"), reason="subscription_create", **FREE)], [], id="trial"),
    pytest.param(
        [
            invoice(line(DIGITAL, 0, Y1, "2026-03-15"), line(PRINT, 0, Y1, "2026-03-15"), **FREE),
            invoice(line(DIGITAL, 49_00, "2026-03-15", "2027-03-15")),
        ],
        [("annual", "2026-03-15", "2027-03-15", 24, "")],
        id="trial and first period",
    ),
    pytest.param(
        [FIRST, invoice(line(DIGITAL, 0, MID, "2027-06-01"), reason=CHANGE, **FREE)],
        [YEAR_1],
        id="billing date moved with trial_end and proration none",
    ),
    pytest.param(
        [
            BOTH,
            invoice(proration(DIGITAL, -24_50, MID, Y2), proration(PRINT, -12_00, MID, Y2), line(DIGITAL, 0, MID, Y3)),
        ],
        [PRINTED_1],
        id="billing date moved with trial_end and a credit",
    ),
    pytest.param(
        [FIRST, invoice(line(DIGITAL, 49_00, "2027-06-01", "2028-06-01"), reason=CHANGE)],
        [YEAR_1, ("annual", "2027-06-01", "2028-06-01", 24, "")],
        id="resumed: a new period starts",
    ),
    pytest.param(
        [invoice(line(DIGITAL, 49_00, Y1, Y2), line(PRINT, 24_00, Y1, Y2), **FREE)], [PRINTED_1], id="100 % coupon"
    ),
    pytest.param([invoice(line(DIGITAL, 49_00, Y1, Y2), total=24_50)], [YEAR_1], id="partial coupon"),
    pytest.param(
        [FIRST, invoice(proration(PRINT, 0, MID, Y2), reason=CHANGE, **FREE)],
        [("annual", Y1, Y2, 24, f"{MID} to {Y2}")],
        id="print added with a 100 % coupon",
    ),
    pytest.param(
        [FIRST, invoice(pending_item(PRINT, 5_00, MID, MID), line(DIGITAL, 49_00, Y2, Y3))],
        [YEAR_1, YEAR_2],
        id="one-off item for our product on a renewal",
    ),
    pytest.param(
        [FIRST, invoice(pending_item(DIGITAL, 5_00, Y2, Y3), reason="manual")], [YEAR_1], id="manual one-off invoice"
    ),
    pytest.param(
        [FIRST, invoice(pending_item(PRINT, 12_00, MID, Y2, prorated=True), reason=CHANGE)],
        [("annual", Y1, Y2, 24, f"{MID} to {Y2}")],
        id="proration whose parent is an invoice item",
    ),
    pytest.param(
        [invoice(line(MUG, 9_00, Y1, "2026-04-01"), line(DIGITAL, 49_00, Y1, Y2))],
        [YEAR_1],
        id="foreign item with another interval",
    ),
    pytest.param([invoice(line(MUG, 9_00, Y1, Y2))], [], id="foreign items only"),
    pytest.param(
        [
            FIRST,
            *(
                invoice(line(PRINT, 2_00, start, end))
                for start, end in (("2026-04-01", "2026-05-01"), ("2026-05-01", "2026-06-01"))
            ),
        ],
        [("annual", Y1, Y2, 24, "2026-04-01 to 2026-06-01")],
        id="mixed intervals: print by the month",
    ),
    pytest.param(
        [
            invoice(line(DIGITAL, 4_90, "2026-03-01", "2026-04-01"), line(PRINT, 24_00, Y1, Y2)),
            invoice(line(DIGITAL, 4_90, "2026-04-01", "2026-05-01")),
        ],
        [
            ("annual", "2026-03-01", "2026-04-01", 2, "2026-03-01 to 2026-04-01"),
            ("annual", "2026-04-01", "2026-05-01", 2, "2026-04-01 to 2026-05-01"),
        ],
        id="mixed intervals: our yearly product by the month owes two issues",
    ),
    pytest.param(
        [invoice(line(DIGITAL, 1_20, "2026-03-01", "2026-03-08"))],
        [("annual", "2026-03-01", "2026-03-08", 0, "")],
        id="our yearly product by the week owes less than half an issue",
    ),
    pytest.param(
        [invoice(line(DIGITAL, 49_00, Y1, Y2), line(MONTHLY, 4_90, Y1, "2026-04-01"))], [], id="two plans at once"
    ),
    pytest.param(
        [FIRST, invoice(line(DIGITAL, 49_00, MID, "2027-09-01"), reason="subscription_threshold")],
        [YEAR_1, ("annual", MID, "2027-09-01", 24, "")],
        id="threshold that restarts the period",
    ),
    pytest.param([FIRST, invoice(line(MUG, 9_00, Y1, MID), reason="subscription_threshold")], [YEAR_1], id="threshold"),
    pytest.param(
        [
            invoice(
                line(DIGITAL, 49_00, Y1, Y2),
                paid="2026-04-10",
                collection_method="send_invoice",
                reason="subscription_create",
            )
        ],
        [YEAR_1],
        id="send_invoice, paid weeks later",
    ),
    pytest.param([invoice(line(DIGITAL, 49_00, Y1, Y2), reason="quote_accept")], [YEAR_1], id="accepted quote"),
    pytest.param([invoice(old_line(DIGITAL, 49_00, Y1, Y2), reason="subscription")], [YEAR_1], id="before 2025"),
    pytest.param(
        [
            invoice(old_line(DIGITAL, 49_00, Y1, Y2), old_line(PRINT, 24_00, Y1, Y2)),
            invoice(
                old_line(PRINT, -12_00, MID, Y2, kind="invoiceitem", prorated=True), old_line(DIGITAL, 49_00, Y2, Y3)
            ),
        ],
        [("annual", Y1, Y2, 24, f"{Y1} to {MID}"), YEAR_2],
        id="before 2025: print dropped",
    ),
    pytest.param(
        [FIRST, invoice(old_line(PRINT, 5_00, MID, Y2, kind="invoiceitem"), reason="manual")],
        [YEAR_1],
        id="before 2025: one-off item",
    ),
]


@pytest.mark.parametrize(("invoices", "terms"), SHAPES)
def test_terms_follow_from_the_lines_of_paid_invoices(invoices: list[Json], terms: list[Term]) -> None:
    assert summary(seen(*invoices)) == terms


@pytest.mark.parametrize("days", ["2026-09-01", "2028-01-01"], ids=["earlier", "later"])
def test_a_moved_billing_date_does_not_make_a_paid_term_a_trial(days: str) -> None:
    state = seen(FIRST, status="trialing", trial_end=at(days))

    assert summary(state) == [YEAR_1]


def test_a_line_without_our_product_belongs_to_its_subscription_item() -> None:
    price = {"id": "price_old", "product": "prod_old", "unit_amount": 49_00, "recurring": None}
    item = {
        "id": "si_old",
        "price": {**price, "metadata": {"newsstand_plan": "annual", "newsstand_component": "digital"}},
        "quantity": 1,
        "current_period_start": at(Y1),
        "current_period_end": at(Y2),
    }
    old = invoice(line("prod_old", 49_00, Y1, Y2, item="si_old"))
    zero = {**item, "price": {**item["price"], "unit_amount": 0}}  # type: ignore[dict-item]
    free = invoice(
        line("prod_old", 0, Y1, Y2, item="si_old", pricing={"price_details": {**price, "price": "price_old"}})
    )

    assert summary(seen(old, items=[item])) == [YEAR_1]
    assert summary(seen(free, items=[zero])) == [YEAR_1], "a free price is not a trial"
    assert summary(seen(free, items=[item])) == []


def pays(kind: str, reference: str, amount: int, day: str, *, status: str = "paid") -> Json:
    """Return an invoice payment."""
    return {
        "amount_paid": amount,
        "created": at(day),
        "payment": {"type": kind, kind: reference},
        "status": status,
        "status_transitions": {"paid_at": at(day)},
    }


def paid_by(*payments: Json, status: str = "paid", day: str = Y1, **more: Any) -> StripeSubscriptionState:
    """Return a subscription whose invoice of 53.00, 4.00 of it tax, was paid in this way."""
    made = invoice(line(DIGITAL, 49_00, Y1, Y2), reason="subscription_create", status=status, paid=day)
    whole = {"total": 53_00, "total_taxes": [{"amount": 4_00}], "amount_due": 53_00}
    return seen({**made, **whole, "payments": {"data": list(payments), "has_more": False}, **more})


PARTS = (
    pays("charge", "py_1", 20_00, "2026-03-02"),
    pays("payment_intent", "pi_1", 20_00, "2026-03-09"),
    pays("payment_record", "pr_1", 13_00, "2026-03-20"),
)


@pytest.mark.parametrize(
    ("state", "found"),
    [
        pytest.param(paid_by(PARTS[0], status="open"), [("py_1", 20_00, 1_50)], id="first part"),
        pytest.param(
            paid_by(*PARTS[1::-1], status="open"), [("py_1", 20_00, 1_50), ("pi_1", 20_00, 1_51)], id="two parts"
        ),
        pytest.param(
            paid_by(*PARTS, amount_paid_off_stripe=13_00),
            [("py_1", 20_00, 1_50), ("pi_1", 20_00, 1_51), ("pr_1", 13_00, 99)],
            id="all parts",
        ),
        pytest.param(paid_by(amount_paid_off_stripe=53_00), [("oob_in_1", 53_00, 4_00)], id="out of band"),
        pytest.param(
            paid_by(PARTS[0], amount_paid_off_stripe=33_00, day="2026-04-01"),
            [("py_1", 20_00, 1_50), ("oob_in_1", 33_00, 2_50)],
            id="the rest out of band",
        ),
        pytest.param(
            paid_by(pays("payment_intent", "pi_1", 43_00, Y1), amount_due=43_00),
            [("pi_1", 43_00, 3_24)],
            id="the rest from the customer balance",
        ),
        pytest.param(
            paid_by(pays("payment_intent", "pi_1", 53_00, Y1, status="open"), status="open"), [], id="not paid"
        ),
    ],
)
def test_each_payment_has_its_own_share_of_the_tax(
    state: StripeSubscriptionState, found: list[tuple[str, int, int]]
) -> None:
    (only,) = state.invoices
    named = [
        (payment.id.replace(only.id, "in_1"), payment.amount, payment.tax) for payment in payments_of(state, CATALOGUE)
    ]

    assert named == found


def test_payments_outside_stripe_are_marked() -> None:
    kinds = [payment.kind for payment in payments_of(paid_by(*PARTS), CATALOGUE)]

    assert kinds == [PaymentKind.CHARGE, PaymentKind.PAYMENT_INTENT, PaymentKind.PAYMENT_RECORD]
    assert [payment.is_outside_stripe for payment in payments_of(paid_by(*PARTS), CATALOGUE)] == [False, False, True]
