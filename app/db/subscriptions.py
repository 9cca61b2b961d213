"""
Subscriptions and their terms: our copy of what Stripe holds.

Every save is fenced: a state is saved only if no other was saved since its fetch began (:class:`ConcurrentUpdate`),
so an older state never replaces a newer one, however long a worker slept.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, func, literal_column, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert
from sqlalchemy.orm import InstrumentedAttribute

from app.db import terms
from app.db.engine.arrays import among
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import Payment, table_of
from app.db.models import Subscription as Row
from app.db.models import Term as TermRow
from app.domain.cards import Card
from app.domain.errors import ConcurrentUpdate
from app.domain.renewals import Pause, Renewal
from app.domain.subscriptions import LIVE, OVER, StripeSubscriptionState, Subscription, Term

# Core statements, built once: they run for every event.
_ROWS, _TERMS, _PAYMENTS = table_of(Row), table_of(TermRow), table_of(Payment)
_VERSION = select(_ROWS.c.version).where(_ROWS.c.stripe_id == bindparam("its_id"))
_VERSIONS = select(_ROWS.c.stripe_id, _ROWS.c.version).where(
    _ROWS.c.stripe_id == func.any(bindparam("their_ids", type_=ARRAY(TEXT)))
)
_ADD = insert(_ROWS).on_conflict_do_nothing(index_elements=[Row.stripe_id]).returning(*_ROWS.c)
_SAVE = (
    update(_ROWS)
    .where(_ROWS.c.stripe_id == bindparam("its_id"), _ROWS.c.version == bindparam("its_version"))
    .returning(*_ROWS.c)
)
_NEW_TERMS = insert(_TERMS)
_SWITCHED = _TERMS.c.plan != _NEW_TERMS.excluded.plan
# As later invoices have it. Periods of print are stored as a list of their starts and ends.
_REPLACED = ("plan", "print_from", "print_until", "paid_by_balance", "ends_at", "credited_at", "price", "discount")
_CHANGED_TERM = {
    **{name: _NEW_TERMS.excluded[name] for name in (*_REPLACED, "earlier_print")},
    # What was bought stays, even if the catalogue has changed since, unless the term continues with another plan.
    "issues_owed": case((_SWITCHED, _NEW_TERMS.excluded.issues_owed), else_=_TERMS.c.issues_owed),
    "print_edition": or_(_TERMS.c.print_edition, _NEW_TERMS.excluded.print_edition),
}
_ADD_TERMS = _NEW_TERMS.on_conflict_do_update(
    index_elements=[TermRow.invoice_id],
    set_=_CHANGED_TERM,
    where=tuple_(*(_TERMS.c[name] for name in _CHANGED_TERM)).is_distinct_from(tuple_(*_CHANGED_TERM.values())),
).returning(_TERMS.c.invoice_id, literal_column("terms.xmax = 0").label("is_new"))
_ALL_TERMS = select(*terms.COLUMNS).order_by(_TERMS.c.starts_at, _TERMS.c.invoice_id)
_TERMS_OF = _ALL_TERMS.where(_TERMS.c.subscription_id == bindparam("subscription"))
_TERMS_OF_SUBSCRIBER = _ALL_TERMS.join(_ROWS, _ROWS.c.id == _TERMS.c.subscription_id).where(
    _ROWS.c.subscriber_id == bindparam("subscriber")
)
_OF_SUBSCRIBER = (
    select(*_ROWS.c).where(_ROWS.c.subscriber_id == bindparam("subscriber")).order_by(_ROWS.c.created_at, _ROWS.c.id)
)
_OWNERS = select(_ROWS.c.id, _ROWS.c.subscriber_id).where(_ROWS.c.id == func.any(bindparam("ids", type_=ARRAY(TEXT))))
_OF_SUBSCRIBERS = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscriber_id == func.any(bindparam("subscribers", type_=ARRAY(TEXT))))
    .order_by(_ROWS.c.created_at, _ROWS.c.id)
)
_OF_PAYMENT = (
    select(*_ROWS.c)
    .join(_PAYMENTS, _PAYMENTS.c.subscription_id == _ROWS.c.id)
    .where(_PAYMENTS.c.id == bindparam("payment"))
)
_LIVE_OF = _OF_SUBSCRIBER.where(_ROWS.c.status.in_(LIVE), _ROWS.c.ended_here_at.is_(None))


async def version(session: Session, stripe_id: str) -> int:
    """Return the version that :func:`save` must match; 0 if the subscription is not stored yet."""
    return await session.scalar(_VERSION, {"its_id": stripe_id}) or 0


async def versions(session: Session, stripe_ids: Sequence[str]) -> dict[str, int]:
    """Return the versions of several subscriptions; 0 for those that are not stored yet."""
    found = await session.execute(_VERSIONS, {"their_ids": list(stripe_ids)})
    return dict.fromkeys(stripe_ids, 0) | {row.stripe_id: row.version for row in found}


async def save(
    session: Session,
    subscriber_id: str,
    seen: StripeSubscriptionState,
    *,
    if_version: int,
    came_from: str | None = None,
    followed_since: datetime | None = None,
) -> Subscription:
    """
    Save a subscription's state at Stripe.

    :param came_from: the previous status, if the transition from it is impossible.
    :raises ConcurrentUpdate: if the version is no longer ``if_version``.
    """
    period = seen.period
    values = {
        "plan": seen.plan,
        "print_edition": seen.print_edition,
        "status": seen.status,
        "price_amount": seen.price,
        "currency": seen.currency,
        "created_at": seen.created_at,
        "current_period_start": period[0] if period else None,
        "current_period_end": period[1] if period else None,
        "cancel_at": seen.cancel_at,
        "canceled_at": seen.canceled_at,
        "ended_at": seen.ended_at,
        "end_reason": seen.end_reason,
        "trial_end": seen.trial_end,
        "collection_paused": seen.collection_paused,
        "pause": _dump(seen.pause),
        "renewal": _dump(seen.renewal),
        "pay_url": seen.pay_url,
        "keeps_discount": seen.keeps_discount,
        "came_from": came_from,
        "version": if_version + 1,
    }
    if seen.card is not None:  # otherwise it may just not have been fetched
        values |= {"card_brand": seen.card.brand, "card_last4": seen.card.last4, "card_country": seen.card.country}
        values |= {"card_expires_on": seen.card.expires_on}
    if seen.tax_location is not None:
        values |= {"tax_country": seen.tax_location[0], "tax_region": seen.tax_location[1]}
    if if_version == 0:
        values |= {
            "id": new_id("scr"),
            "stripe_id": seen.id,
            "subscriber_id": subscriber_id,
            "work_key": f"subscription:{seen.id}",
            "followed_since": followed_since,
        }
        found = await session.execute(_ADD, values)
    else:
        found = await session.execute(_SAVE, {**values, "its_id": seen.id, "its_version": if_version})
    row = found.one_or_none()
    if row is None:
        raise ConcurrentUpdate(seen.id)
    return of_row(row)


async def save_terms(session: Session, subscription_id: str, opened: Sequence[Term]) -> list[Term]:
    """
    Insert the terms that paid invoices opened, and save what later invoices changed: their print, plan or end.

    Print that was once granted is never removed from a term, only ended within it, because an old line may not name its
    product anymore.

    :returns: the terms that were inserted.
    """
    if not opened:
        return []
    made = [
        {
            "invoice_id": term.invoice_id,
            "subscription_id": subscription_id,
            "print_edition": term.print_edition,
            "starts_at": term.starts_at,
            "issues_owed": term.issues_owed,
            "earlier_print": [at for one in term.earlier_print for at in (one.starts_at, one.ends_at)],
            **{name: getattr(term, name) for name in _REPLACED},
        }
        for term in opened
    ]
    saved = await session.execute(_ADD_TERMS, made)
    new = {row.invoice_id for row in saved if row.is_new}
    return [term for term in opened if term.invoice_id in new]


async def terms_of(session: Reads, subscription_id: str) -> list[Term]:
    """Return a subscription's terms with their adjustments, earliest first."""
    rows = await session.execute(_TERMS_OF, {"subscription": subscription_id})
    return [terms.of_row(row) for row in rows]


async def terms_by_subscription(session: Reads, subscriber_id: str) -> dict[str, list[Term]]:
    """Return the terms of all subscriptions of a subscriber, by subscription."""
    found: dict[str, list[Term]] = {}
    for row in await session.execute(_TERMS_OF_SUBSCRIBER, {"subscriber": subscriber_id}):
        found.setdefault(row.subscription_id, []).append(terms.of_row(row))
    return found


async def known_terms(session: Session, invoice_ids: Sequence[str]) -> set[str]:
    """Return which of these invoices opened a term that is stored."""
    return set(await session.scalars(select(TermRow.invoice_id).where(among(TermRow.invoice_id, invoice_ids))))


async def mark_term_refunded(session: Session, invoice_id: str, basis: str, *, at: datetime) -> None:
    """Mark a term as refunded at a time, so that it is never granted again. The first basis and time are kept."""
    refunded_as, refunded_at = func.coalesce(TermRow.refunded_as, basis), func.coalesce(TermRow.refunded_at, at)
    values = {"refunded_as": refunded_as, "refunded_at": refunded_at, "restored_as": None}
    await session.execute(update(TermRow).where(TermRow.invoice_id == invoice_id).values(values))


async def suspend_term(session: Session, invoice_id: str, reason: str | None) -> bool:
    """Suspend a term, or with None resume it. Return whether that changed anything."""
    return await _set_term(session, invoice_id, TermRow.suspended_as, reason)


async def suspend_print(session: Session, invoice_id: str, since: datetime | None) -> bool:
    """Suspend the period of print in a term that began then, or with None resume it. Return whether that changed."""
    return await _set_term(session, invoice_id, TermRow.print_suspended_from, since)


async def _set_term(session: Session, invoice_id: str, column: InstrumentedAttribute[Any], value: object) -> bool:
    changed = update(TermRow).where(TermRow.invoice_id == invoice_id, column.is_distinct_from(value))
    return await session.scalar(changed.values({column: value}).returning(TermRow.invoice_id)) is not None


async def restore_term(session: Session, invoice_id: str, reason: str) -> None:
    """Restore a refunded term, because the refund failed."""
    await session.execute(update(TermRow).where(TermRow.invoice_id == invoice_id).values(restored_as=reason))


async def mark_refund_failed(session: Session, invoice_id: str, *, failed: bool) -> None:
    """Mark whether the refund that ended a term failed later."""
    await session.execute(update(TermRow).where(TermRow.invoice_id == invoice_id).values(refund_failed=failed))


async def order_end(session: Session, subscription_id: str, *, by: str, now: datetime) -> bool:
    """
    End a subscription on our side, and make its cancellation at Stripe due. A repeated call has no effect.

    :returns: whether it was not ordered before.
    """
    ordered = await session.scalar(
        update(Row)
        .where(Row.id == subscription_id, Row.ended_here_at.is_(None))
        .values(ended_here_at=now, ended_by=by, due_at=func.now(), attempts=0)
        .returning(Row.id)
    )
    return ordered is not None


async def order_close(session: Session, subscription_id: str) -> None:
    """Make the cleanup of a subscription that ended at Stripe due."""
    await session.execute(
        update(Row)
        .where(Row.id == subscription_id)
        .values(closed_at=None, due_at=func.coalesce(Row.due_at, func.now()))
    )


async def due(session: Session, subscription_id: str) -> Subscription | None:
    """Return a subscription if it has due work at Stripe."""
    return _or_none(await session.scalar(select(Row).where(Row.id == subscription_id, Row.due_at.is_not(None))))


async def close(session: Session, subscription_id: str, *, now: datetime) -> None:
    """Mark the cleanup of an ended subscription as complete."""
    await session.execute(
        update(Row).where(Row.id == subscription_id).values(closed_at=now, due_at=None, attempts=0, last_error=None)
    )


async def clear_due(session: Session, subscription_id: str) -> None:
    """
    Record that a subscription needs no work at Stripe, unless it has ended or its end was ordered.

    A subscription that ended, or was ordered to end, since it was read stays due.
    """
    await session.execute(
        update(Row)
        .where(Row.id == subscription_id, Row.ended_here_at.is_(None), Row.status.not_in(OVER))
        .values(due_at=None, attempts=0, last_error=None)
    )


async def owners(session: Session, subscription_ids: Collection[str]) -> dict[str, str]:
    """Return the subscriber of each of these subscriptions that exist."""
    found = await session.execute(_OWNERS, {"ids": list(subscription_ids)})
    return {row.id: row.subscriber_id for row in found}


async def of_subscribers(session: Reads, subscriber_ids: Sequence[str]) -> dict[str, list[Subscription]]:
    """Return all subscriptions of several subscribers, earliest first, by subscriber."""
    found: dict[str, list[Subscription]] = {}
    for row in await session.execute(_OF_SUBSCRIBERS, {"subscribers": list(subscriber_ids)}):
        found.setdefault(row.subscriber_id, []).append(of_row(row))
    return found


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Subscription]:
    """Return all subscriptions of a subscriber, earliest first."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    return [of_row(row) for row in rows]


async def live_of(session: Session, subscriber_id: str) -> list[Subscription]:
    """Return a subscriber's live subscriptions, earliest first. There is one, unless two were paid at the same time."""
    rows = await session.execute(_LIVE_OF, {"subscriber": subscriber_id})
    return [of_row(row) for row in rows]


async def by_id(session: Session, subscription_id: str) -> Subscription | None:
    """Return the subscription with our ID, with its current state."""
    return _or_none(await session.get(Row, subscription_id, populate_existing=True))


async def of_payment(session: Reads, payment_id: str) -> Subscription | None:
    """Return the subscription of a payment."""
    return next((of_row(row) for row in await session.execute(_OF_PAYMENT, {"payment": payment_id})), None)


async def by_stripe_id(session: Session, stripe_id: str) -> Subscription | None:
    """Return the subscription with a Stripe ID."""
    return _or_none(await session.scalar(select(Row).where(Row.stripe_id == stripe_id)))


async def by_stripe_ids(session: Session, stripe_ids: Sequence[str]) -> dict[str, Subscription]:
    """Return the stored subscriptions with these Stripe IDs, by Stripe ID."""
    rows = await session.scalars(
        select(Row).where(among(Row.stripe_id, stripe_ids)).execution_options(populate_existing=True)
    )
    return {row.stripe_id: of_row(row) for row in rows}


async def set_check(session: Session, subscription_id: str, at: datetime | None) -> None:
    """Set when a subscription is fetched again if nothing is heard of it."""
    await session.execute(update(Row).where(Row.id == subscription_id).values(check_at=at))


async def take_checks(session: Session, *, now: datetime, limit: int) -> list[str]:
    """Return the Stripe IDs of up to ``limit`` subscriptions that must be fetched again, and clear their times."""
    found = (
        select(Row.id).where(Row.check_at <= now).order_by(Row.check_at).limit(limit).with_for_update(skip_locked=True)
    )
    taken = update(Row).where(Row.id.in_(found)).values(check_at=None).returning(Row.stripe_id)
    return list(await session.scalars(taken))


def _or_none(row: Row | None) -> Subscription | None:
    return of_row(row) if row is not None else None


def of_row(row: Row | Record) -> Subscription:
    """Return the subscription in a row with all columns."""
    return Subscription(
        id=row.id,
        stripe_id=row.stripe_id,
        subscriber_id=row.subscriber_id,
        version=row.version,
        plan=row.plan,
        print_edition=row.print_edition,
        status=row.status,
        price=row.price_amount,
        currency=row.currency,
        created_at=row.created_at,
        current_period_start=row.current_period_start,
        current_period_end=row.current_period_end,
        cancel_at=row.cancel_at,
        canceled_at=row.canceled_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        ended_by=row.ended_by,
        access_ended_at=row.ended_here_at,
        trial_end=row.trial_end,
        collection_paused=row.collection_paused,
        pause=Pause(**_parsed(row.pause, "since")) if row.pause is not None else None,
        renewal=_renewal(row.renewal) if row.renewal is not None else None,
        check_at=row.check_at,
        closed_at=row.closed_at,
        pay_url=row.pay_url,
        came_from=row.came_from,
        followed_since=row.followed_since,
        card=Card(row.card_brand, row.card_last4, row.card_country, row.card_expires_on)
        if row.card_brand and row.card_last4
        else None,
        keeps_discount=row.keeps_discount,
        tax_location=(row.tax_country, row.tax_region) if row.tax_country else None,
    )


def _dump(facts: Pause | Renewal | None) -> dict[str, Any] | None:
    """Return the stored form of a pause or a renewal. Times are in ISO 8601."""
    if facts is None:
        return None
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(facts).items()}


def _renewal(stored: dict[str, Any]) -> Renewal:
    return Renewal(**_parsed(stored, "starts_at", "due_at", "payment_at"))


def _parsed(stored: dict[str, Any], *times: str) -> dict[str, Any]:
    parsed = {name: datetime.fromisoformat(stored[name]) for name in times if stored[name] is not None}
    return {**stored, **parsed}
