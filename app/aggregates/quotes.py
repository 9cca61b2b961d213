"""
All that a quote depends on, in one question: a payment's subscription with its terms, payments, refunds and disputes.

Whoever pays by the answer holds the subscriber's lock; whoever only shows it does not.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from app.db import issues, subscriptions
from app.db.engine.session import Record, Session
from app.domain.issues import schedule_terms
from app.domain.quotes import RefundContext, progress_of
from app.domain.refunds import Refund
from app.domain.rules import Rules
from app.domain.subscriptions import Adjustment, Payment, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A case, and whose it is."""

    case: RefundContext
    subscriber_id: str
    subscription_id: str


_ALL = """
    SELECT s.*,
      (SELECT json_agg(json_build_array(
          p.id, p.invoice_id, p.amount, p.tax, p.currency, p.paid_at, p.billing_reason) ORDER BY p.paid_at, p.id)
       FROM payments p WHERE p.subscription_id = s.id) AS paid,
      (SELECT json_agg(json_build_array(
          t.invoice_id, t.plan, t.print_edition, t.starts_at, t.ends_at, t.issues_owed,
          t.refunded_as, t.suspended_as, t.restored_as,
          (SELECT json_agg(json_build_array(a.kind, a.issues, a.created_at) ORDER BY a.created_at)
           FROM issue_adjustments a WHERE a.invoice_id = t.invoice_id))
          ORDER BY t.starts_at, t.invoice_id)
       FROM terms t WHERE t.subscription_id = s.id) AS terms,
      (SELECT json_agg(json_build_array(
          r.id, r.act_id, r.payment_id, r.basis, r.amount, r.tax, r.currency, r.status, r.created_at, r.recorded_at)
          ORDER BY r.created_at, r.id)
       FROM refunds r WHERE r.subscriber_id = s.subscriber_id) AS given,
      (SELECT json_agg(d.payment_id) FROM disputes d
       WHERE d.subscriber_id = s.subscriber_id AND NOT d.is_charge_refundable) AS disputed,
      (SELECT token FROM calendar_edition) AS edition
"""
_OF_PAYMENT = text(f"{_ALL} FROM payments o JOIN subscriptions s ON s.id = o.subscription_id WHERE o.id = :payment")
_OF_SUBSCRIPTION = text(f"{_ALL} FROM subscriptions s WHERE s.id = :subscription")


async def of_payment(session: Session, rules: Rules, payment_id: str, *, now: datetime) -> Asked | None:
    """Return the case of a payment; None: there is no such payment."""
    row = (await session.execute(_OF_PAYMENT, {"payment": payment_id})).one_or_none()
    return await _asked(session, row, rules, now=now, payment_id=payment_id) if row is not None else None


async def of_subscription(session: Session, rules: Rules, subscription_id: str, *, now: datetime) -> Asked | None:
    """Return the case of a subscription's first payment above zero; None: nothing was ever paid for it."""
    row = (await session.execute(_OF_SUBSCRIPTION, {"subscription": subscription_id})).one_or_none()
    return await _asked(session, row, rules, now=now, payment_id=None) if row is not None else None


async def _asked(session: Session, row: Record, rules: Rules, *, now: datetime, payment_id: str | None) -> Asked | None:
    payments = [_payment(found) for found in _rows(row.paid)]
    payment = next((p for p in payments if (p.amount > 0 if payment_id is None else p.id == payment_id)), None)
    if payment is None:
        return None
    subscription, terms = subscriptions.of_row(row), [_term(found) for found in _rows(row.terms)]
    calendar = await issues.calendar_as(session, rules.zone, row.edition)
    runs = schedule_terms(subscription, terms, calendar, rules.catalogue) if len(calendar) else []
    case = RefundContext(
        payment=payment,
        payments=payments,
        terms=terms,
        refunds=[_refund(found, subscription.subscriber_id) for found in _rows(row.given)],
        guarantee=rules.catalogue.plan(subscription.plan).guarantee,
        progress=progress_of(payments, terms, runs, now=now),
        disputed=frozenset(str(found) for found in _rows(row.disputed)),
    )
    return Asked(case=case, subscriber_id=subscription.subscriber_id, subscription_id=subscription.id)


def _rows(found: Any) -> Sequence[Any]:
    if found is None:
        return ()
    return json.loads(found) if isinstance(found, str) else found  # type: ignore[no-any-return]


def _at(said: str) -> datetime:
    return datetime.fromisoformat(said)


def _payment(row: Sequence[Any]) -> Payment:
    return Payment(
        id=row[0],
        invoice_id=row[1],
        amount=row[2],
        tax=row[3],
        currency=row[4],
        paid_at=_at(row[5]),
        billing_reason=row[6],
    )


def _term(row: Sequence[Any]) -> Term:
    return Term(
        invoice_id=row[0],
        plan=row[1],
        print_edition=row[2],
        starts_at=_at(row[3]),
        ends_at=_at(row[4]),
        issues_owed=row[5],
        refunded_as=row[6],
        suspended_as=row[7],
        restored_as=row[8],
        adjustments=tuple(Adjustment(kind=kind, issues=n, at=_at(at)) for kind, n, at in row[9] or ()),
    )


def _refund(row: Sequence[Any], subscriber_id: str) -> Refund:
    """Return what a quote asks of a refund; why it was made, and by whom, is not among it."""
    return Refund(
        id=row[0],
        act_id=row[1] or row[0],
        payment_id=row[2],
        subscriber_id=subscriber_id,
        basis=row[3],
        amount=row[4],
        tax=row[5],
        currency=row[6],
        reason="",
        note=None,
        requested_by="",
        status=row[7],
        created_at=_at(row[8]),
        recorded_at=_at(row[9]) if row[9] else None,
    )
