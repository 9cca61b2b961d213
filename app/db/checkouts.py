"""Checkout sessions: at most one open for each subscriber, which a partial unique index enforces."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update

from app.db.engine.session import Session, new_id
from app.db.models import Checkout as Row

OPENING, OPEN, COMPLETE, EXPIRED, FAILED = "opening", "open", "complete", "expired", "failed"
UNDECIDED = (OPENING, OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The plan and options that a reader chose."""

    plan: str
    print_edition: bool
    promotion_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A checkout session."""

    id: str
    stripe_id: str | None
    subscriber_id: str
    choice: Choice
    status: str
    payment_status: str
    url: str | None
    expires_at: datetime | None
    stripe_subscription_id: str | None


async def find_open(session: Session, subscriber_id: str) -> Checkout | None:
    """Return the subscriber's session that is open or being opened. The caller has locked the subscriber."""
    return _or_none(
        await session.scalar(select(Row).where(Row.subscriber_id == subscriber_id, Row.status.in_(UNDECIDED)))
    )


async def start(session: Session, subscriber_id: str, choice: Choice) -> Checkout:
    """Insert a session that is about to be opened."""
    row = Row(
        id=new_id("chk"),
        subscriber_id=subscriber_id,
        plan=choice.plan,
        print_edition=choice.print_edition,
        promotion_code=choice.promotion_code,
        status=OPENING,
        payment_status="unpaid",
    )
    session.add(row)
    await session.flush()
    return _checkout(row)


async def save(
    session: Session,
    checkout_id: str,
    *,
    stripe_id: str,
    status: str,
    payment_status: str,
    url: str | None,
    expires_at: datetime | None,
    stripe_subscription_id: str | None,
) -> Checkout:
    """Store the state of a session at Stripe. An ended session stays ended, because responses may be outdated."""
    await session.execute(
        update(Row)
        .where(Row.id == checkout_id, Row.status.in_((*UNDECIDED, status)))
        .values(
            stripe_id=stripe_id,
            status=status,
            payment_status=payment_status,
            url=url,
            expires_at=expires_at,
            stripe_subscription_id=stripe_subscription_id,
        )
    )
    return _checkout(await session.get_one(Row, checkout_id, populate_existing=True))


async def give_up(session: Session, checkout_id: str) -> None:
    """Mark a session as failed: Stripe declined to open it."""
    await session.execute(update(Row).where(Row.id == checkout_id, Row.status == OPENING).values(status=FAILED))


async def abandon(session: Session, subscriber_id: str) -> None:
    """Mark a subscriber's open session as expired: its customer was deleted, so it can't be paid."""
    await session.execute(
        update(Row).where(Row.subscriber_id == subscriber_id, Row.status.in_(UNDECIDED)).values(status=EXPIRED)
    )


async def by_stripe_id(session: Session, stripe_id: str) -> Checkout | None:
    """Return the session with a Stripe ID."""
    return _or_none(await session.scalar(select(Row).where(Row.stripe_id == stripe_id)))


async def sold(session: Session, subscriber_id: str, *, stripe_subscription_id: str, checkout_id: str | None) -> bool:
    """
    Return whether a subscription came from a checkout of ours.

    :param checkout_id: as the subscription's metadata says; it must be a checkout of the same subscriber.
    """
    found = select(Row.id).where(
        Row.subscriber_id == subscriber_id,
        (Row.stripe_subscription_id == stripe_subscription_id) | (Row.id == checkout_id),
    )
    return await session.scalar(found.limit(1)) is not None


def _or_none(row: Row | None) -> Checkout | None:
    return _checkout(row) if row is not None else None


def _checkout(row: Row) -> Checkout:
    return Checkout(
        id=row.id,
        stripe_id=row.stripe_id,
        subscriber_id=row.subscriber_id,
        choice=Choice(plan=row.plan, print_edition=row.print_edition, promotion_code=row.promotion_code),
        status=row.status,
        payment_status=row.payment_status,
        url=row.url,
        expires_at=row.expires_at,
        stripe_subscription_id=row.stripe_subscription_id,
    )
