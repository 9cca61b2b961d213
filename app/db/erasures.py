"""Erasures, and the rows of one reader that they change. What happens to each column is in :mod:`app.db.personal_data`."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Text,
    TextClause,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL

from app.db.checkouts import UNDECIDED
from app.db.engine import leases
from app.db.engine.arrays import among
from app.db.engine.change_feed import ENTITLEMENTS
from app.db.engine.session import Session, new_id
from app.db.models import (
    Checkout,
    Comp,
    Entitlement,
    OutboxEvent,
    ReaderNamePart,
    Refund,
    Revocation,
    Subscriber,
    Subscription,
    Term,
    WebhookDelivery,
    table_of,
)
from app.db.models import Erasure as Row
from app.db.personal_data import TABLES
from app.domain.erasures import ERASED, Erasure, Kept
from app.domain.webhook_deliveries import DeliveryStatus

PUBLISHED_WITHIN = timedelta(minutes=10)
# The IDs of everything that belongs to a reader.
IDS = """
WITH owned AS (SELECT id, stripe_id FROM subscriptions WHERE subscriber_id = :reader),
     paid AS (SELECT id, invoice_id FROM payments WHERE subscription_id IN (SELECT id FROM owned))
SELECT :reader AS id
UNION SELECT stripe_customer_id FROM subscribers WHERE id = :reader AND stripe_customer_id IS NOT NULL
UNION SELECT unnest(customer_ids) FROM erasures WHERE subscriber_id = :reader
UNION SELECT id FROM owned UNION SELECT stripe_id FROM owned
UNION SELECT id FROM paid UNION SELECT invoice_id FROM paid
UNION SELECT invoice_id FROM terms WHERE subscription_id IN (SELECT id FROM owned)
UNION SELECT id FROM refunds WHERE subscriber_id = :reader
UNION SELECT stripe_refund_id FROM refunds WHERE subscriber_id = :reader AND stripe_refund_id IS NOT NULL
UNION SELECT id FROM disputes WHERE subscriber_id = :reader
UNION SELECT id FROM fraud_warnings WHERE subscriber_id = :reader
UNION SELECT id FROM comps WHERE subscriber_id = :reader
UNION SELECT id FROM approval_requests WHERE subscriber_id = :reader
UNION SELECT id FROM contact_changes WHERE subscriber_id = :reader
UNION SELECT id FROM postal_addresses WHERE subscriber_id = :reader
UNION SELECT id FROM print_changes WHERE subscriber_id = :reader
UNION SELECT id FROM anomalies WHERE subscriber_id = :reader
UNION SELECT id FROM checkouts WHERE subscriber_id = :reader
UNION SELECT stripe_id FROM checkouts WHERE subscriber_id = :reader AND stripe_id IS NOT NULL
UNION SELECT id FROM issue_adjustments WHERE subscription_id IN (SELECT id FROM owned)
UNION SELECT id FROM claims WHERE subscriber_id = :reader
UNION SELECT id FROM back_issues WHERE subscriber_id = :reader
UNION SELECT id FROM consents WHERE subscriber_id = :reader
UNION SELECT id FROM declarations WHERE subscriber_id = :reader
UNION SELECT id FROM holds WHERE subscriber_id = :reader
UNION SELECT id FROM credits WHERE subscription_id IN (SELECT id FROM owned)
"""

# A cancellation without a sign-in that nobody could match is the reader's if it has their address and nobody else has it.
# The order has ended the contract, so nothing is left to do about it.
_TAKE_DECLARATIONS = text(
    """
    UPDATE declarations SET subscriber_id = :reader, due_at = NULL,
        status = CASE WHEN status IN ('received', 'queued') THEN 'done' ELSE status END
    WHERE subscriber_id IS NULL
        AND lower(words->>'email') IN (
            SELECT lower(email) FROM subscribers WHERE id = :reader
            UNION SELECT lower(email) FROM contact_changes WHERE subscriber_id = :reader)
        AND NOT EXISTS (
            SELECT FROM subscribers other WHERE other.id <> :reader AND lower(other.email) = lower(words->>'email'))
    """
).bindparams(bindparam("reader", type_=Text))


async def start(session: Session, subscriber_id: str, *, sub: str, customer_id: str | None, by: str) -> Erasure:
    """Insert an erasure, due now, and make the reader unknown: their ``sub``, email address and name are gone at once."""
    await session.execute(_TAKE_DECLARATIONS, {"reader": subscriber_id})  # while their address is known
    row = Row(
        id=new_id("era"),
        subscriber_id=subscriber_id,
        sub=sub,
        customer_ids=[customer_id] if customer_id is not None else [],
        requested_by=by,
        report={},
        work_key=f"erasure:{subscriber_id}",
        due_at=func.now(),
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    replaced = f"{ERASED}{subscriber_id}"
    await session.execute(
        update(Subscriber)
        .where(Subscriber.id == subscriber_id)
        .values(
            sub=replaced,
            email=None,
            name=None,
            indexed_name=None,
            joined_name=None,
            email_verified=False,
            contact_as_of=None,
        )
    )
    await session.execute(delete(ReaderNamePart).where(ReaderNamePart.subscriber_id == subscriber_id))
    await session.execute(
        update(Entitlement)
        .where(Entitlement.subscriber_id == subscriber_id)
        .values(sub=replaced, version=Entitlement.version + 1)
    )
    # The row has another `sub` now, so processes that cached it learn from nothing else that it is gone. Within the
    # transaction, because what is sent after the commit can be lost.
    await session.execute(select(func.pg_notify(ENTITLEMENTS, sub)))
    await leases.notify(session)
    return _erasure(row)


async def by_id(session: Session, erasure_id: str) -> Erasure | None:
    """Return an erasure."""
    row = await session.get(Row, erasure_id, populate_existing=True)
    return _erasure(row) if row is not None else None


async def erased_among(session: Session, subscriber_ids: Collection[str]) -> set[str]:
    """Return which of these readers were erased."""
    query = select(Subscriber.id).where(
        among(Subscriber.id, subscriber_ids), Subscriber.sub.startswith(ERASED, autoescape=True)
    )
    return set(await session.scalars(query))


async def inactive_among(session: Session, *, before: datetime, after: str, limit: int) -> tuple[list[str], str | None]:
    """
    Look at the next readers in the order of their IDs for those who have had no subscription and no access since a time.

    Readers with an open checkout are left out: they may be paying right now.

    :param after: the last reader who was looked at; empty: none.
    :param limit: how many readers are looked at.
    :returns: the IDs of the inactive ones, and of the last one who was looked at. None: there are no more.
    """
    query = (
        select(Subscriber.id, _is_inactive(before)).where(Subscriber.id > after).order_by(Subscriber.id).limit(limit)
    )
    rows = (await session.execute(query)).all()
    return [reader for reader, is_inactive in rows if is_inactive], rows[-1][0] if rows else None


async def is_inactive(session: Session, subscriber_id: str, *, before: datetime) -> bool:
    """Return whether a reader has had no subscription and no access since a time. See also :func:`inactive_among`."""
    return bool(await session.scalar(select(_is_inactive(before)).where(Subscriber.id == subscriber_id)))


def _is_inactive(before: datetime) -> ColumnElement[bool]:
    owned, given = table_of(Subscription), table_of(Comp)
    over = func.greatest(owned.c.ended_at, owned.c.ended_here_at, owned.c.current_period_end)
    runs = func.coalesce(owned.c.ended_at, owned.c.ended_here_at).is_(None)
    return and_(
        Subscriber.created_at < before,
        ~Subscriber.sub.startswith(ERASED, autoescape=True),
        ~_any(owned, owned.c.subscriber_id == Subscriber.id, or_(runs, over >= before)),
        ~_any(
            owned.join(Term, Term.subscription_id == owned.c.id),
            owned.c.subscriber_id == Subscriber.id,
            Term.ends_at >= before,
        ),
        ~_any(given, given.c.subscriber_id == Subscriber.id, given.c.until >= before),
        ~_any(table_of(Checkout), Checkout.subscriber_id == Subscriber.id, Checkout.status.in_(UNDECIDED)),
    )


def _any(rows: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether rows exist, in a form that makes PostgreSQL look into an index for each reader."""
    found = select(literal(True)).select_from(rows).where(*conditions).limit(1)
    return func.coalesce(found.correlate(Subscriber).scalar_subquery(), literal(False))


async def find(session: Session, reader: str) -> Erasure | None:
    """Return the newest erasure of a reader, by their ID or, until its last trace is removed, by their ``sub``."""
    row = await session.scalar(
        select(Row)
        .where((Row.subscriber_id == reader) | (Row.sub == reader))
        .order_by(Row.requested_at.desc())
        .limit(1)
    )
    return _erasure(row) if row is not None else None


async def add_customer(session: Session, erasure: Erasure, customer_id: str) -> None:
    """Add a customer that a checkout created at the last moment."""
    customers = [*erasure.customer_ids, customer_id]
    await session.execute(update(Row).where(Row.id == erasure.id).values(customer_ids=customers))


async def unclosed_subscriptions(session: Session, subscriber_id: str) -> list[str]:
    """Return the subscriptions of a reader whose end is not complete at Stripe yet."""
    query = select(Subscription.id).where(Subscription.subscriber_id == subscriber_id, Subscription.due_at.is_not(None))
    return list(await session.scalars(query))


async def unfinished_refunds(session: Session, subscriber_id: str) -> list[str]:
    """Return the refunds of a reader that are due."""
    query = select(Refund.id).where(Refund.subscriber_id == subscriber_id, Refund.due_at.is_not(None))
    return list(await session.scalars(query))


async def object_ids(session: Session, subscriber_id: str) -> list[str]:
    """Return the IDs of everything that belongs to a reader, here and at Stripe."""
    found = await session.scalars(_bound(IDS), {"reader": subscriber_id})
    return sorted(found)


async def rows_of(session: Session, subscriber_id: str, *, sub: str) -> dict[str, list[dict[str, Any]]]:
    """Return all rows about a reader, by table, as JSON."""
    parameters = {"reader": subscriber_id, "sub": sub, "ids": await object_ids(session, subscriber_id)}
    found: dict[str, list[dict[str, Any]]] = {}
    for name, table in TABLES.items():
        if table.of is not None:
            statement = _bound(f"SELECT to_jsonb({name}) FROM {name} WHERE {table.of}")  # noqa: S608 - of the register
            rows = list(await session.scalars(statement, parameters))
            if rows:
                found[name] = rows
    return found


async def erase_rows(session: Session, subscriber_id: str, *, sub: str) -> dict[str, int]:
    """Change and delete the rows of a reader as the register says. Return how many rows of each table it concerned."""
    parameters = {"reader": subscriber_id, "sub": sub, "ids": await object_ids(session, subscriber_id)}
    counts: dict[str, int] = {}
    for name, table in TABLES.items():
        if table.of is None or table.apart:
            continue
        changes = ", ".join(f'"{column}" = {one.erased}' for column, one in table.personal.items() if one.erased)
        if table.deleted:
            statement = f"DELETE FROM {name} WHERE {table.of} RETURNING 1"  # noqa: S608 - of the register
        elif changes:
            statement = f"UPDATE {name} SET {changes} WHERE {table.of} RETURNING 1"  # noqa: S608 - of the register
        else:
            continue
        counts[name] = len((await session.execute(_bound(statement), parameters)).all())
    notes = await session.scalars(text("SELECT empty_adjustment_notes(:reader)"), {"reader": subscriber_id})
    counts["issue_adjustments"] = len(notes.all())
    return {name: count for name, count in counts.items() if count}


async def finish(
    session: Session, erasure_id: str, *, erased: dict[str, int], kept: Sequence[Kept], last_trace_in: timedelta
) -> None:
    """Record the result. The last trace is removed later."""
    report = {
        "erased": erased,
        "kept": [{"what": one.what, "why": one.why, "count": one.count} for one in kept],
    }
    due_at = func.now() + bindparam(None, last_trace_in, type_=INTERVAL)
    await session.execute(
        update(Row)
        .where(Row.id == erasure_id)
        .values(report=report, finished_at=func.now(), due_at=due_at, attempts=0, last_error=None)
    )


async def reopen(session: Session, subscriber_id: str) -> None:
    """Make an erasure due again, because something was created for the reader at the same moment."""
    await session.execute(
        update(Row).where(Row.subscriber_id == subscriber_id).values(finished_at=None, due_at=func.now(), attempts=0)
    )
    await leases.notify(session)


async def remove_last_trace(session: Session, erasure: Erasure) -> bool:
    """
    Remove the reader's ``sub`` from the erasure, the outbox and the feed of revocations, if it is time.

    :returns: whether it was.
    """
    removed = await session.scalar(
        update(Row)
        .where(Row.id == erasure.id, Row.finished_at.is_not(None), Row.due_at <= func.now())
        .values(sub=None, customer_ids=[], due_at=None)
        .returning(Row.id)
    )
    if removed is None:
        return False
    # Those of a reader who came back are later. One that was pending got its time a moment after the erasure.
    until = (erasure.finished_at or erasure.requested_at) + PUBLISHED_WITHIN
    await session.execute(
        update(Revocation)
        .where(Revocation.sub == erasure.sub, Revocation.at <= until)
        .values(sub=f"{ERASED}{erasure.subscriber_id}")
    )
    waiting = exists().where(
        WebhookDelivery.event_id == OutboxEvent.id, WebhookDelivery.status == DeliveryStatus.PENDING
    )
    await session.execute(  # a receiver that was not reached yet must still learn who was erased
        update(OutboxEvent).where(OutboxEvent.subscriber_id == erasure.subscriber_id, ~waiting).values(sub=None)
    )
    return True


def _bound(statement: str) -> TextClause:
    typed = (bindparam("reader", type_=Text), bindparam("sub", type_=Text), bindparam("ids", type_=ARRAY(Text)))
    return text(statement).bindparams(*(one for one in typed if f":{one.key}" in statement))


def _erasure(row: Row) -> Erasure:
    return Erasure(
        id=row.id,
        subscriber_id=row.subscriber_id,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        sub=row.sub,
        customer_ids=tuple(row.customer_ids),
        erased=row.report.get("erased", {}),
        kept=[Kept(**one) for one in row.report.get("kept", ())],
    )
