"""Changes of readers' email addresses and names. Callers that save one hold the subscriber's lock."""

from sqlalchemy import bindparam, func, select, update

from app.db.engine import leases
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session, new_id
from app.db.models import ContactChange as Row
from app.db.models import Subscriber, table_of
from app.db.subscribers import Subscriber as SubscriberRecord
from app.db.subscribers import of_row
from app.domain.contacts import Contact

_ROWS, _SUBSCRIBERS = table_of(Row), table_of(Subscriber)
_WITH_FORMER = (
    select(*_SUBSCRIBERS.c, _ROWS.c.email.label("former_email"), _ROWS.c.name.label("former_name"))
    .join_from(_SUBSCRIBERS, _ROWS, _ROWS.c.subscriber_id == _SUBSCRIBERS.c.id, isouter=True)
    .where(_SUBSCRIBERS.c.id == bindparam("its_id"))
    .order_by(_ROWS.c.changed_at.desc(), _ROWS.c.id)
)
_OF_SUB = select(
    _SUBSCRIBERS.c.id,
    _SUBSCRIBERS.c.email,
    _SUBSCRIBERS.c.name,
    _SUBSCRIBERS.c.email_verified,
    _SUBSCRIBERS.c.contact_as_of,
    _SUBSCRIBERS.c.locale,
).where(_SUBSCRIBERS.c.sub == bindparam("its_sub"))


async def of_sub(session: Reads, sub: str) -> Contact | None:
    """Return the contact of the subscriber with this ``sub``, or None if there is none."""
    for row in await session.execute(_OF_SUB, {"its_sub": sub}):
        return Contact(
            email=row.email,
            name=row.name,
            email_verified=row.email_verified,
            locale=row.locale,
            as_of=row.contact_as_of,
        )
    return None


async def save(session: Session, subscriber_id: str, contact: Contact, *, known: Contact, push: bool = True) -> None:
    """
    Save a reader's contact. A former address or name is kept.

    :param push: whether updating Stripe's customer becomes due.
    """
    await session.execute(
        update(Subscriber)
        .where(Subscriber.id == subscriber_id)
        .values(
            email=contact.email,
            name=contact.name,
            email_verified=contact.email_verified,
            contact_as_of=contact.as_of,
            locale=contact.locale,
        )
    )
    if not contact.is_readdressed(known):
        return
    session.add(
        Row(
            id=new_id("ctc"),
            subscriber_id=subscriber_id,
            email=known.email,
            name=known.name,
            work_key=f"contact:{subscriber_id}",
            due_at=func.now() if push else None,
        )
    )
    await session.flush()
    if push:
        await leases.notify(session)


async def due(session: Session, change_id: str) -> str | None:
    """Return the subscriber of a change that is due, or None."""
    return await session.scalar(select(Row.subscriber_id).where(Row.id == change_id, Row.due_at.is_not(None)))


async def newest(session: Session, subscriber_id: str) -> str | None:
    """Return the ID of a subscriber's newest change."""
    order = (Row.changed_at.desc(), Row.id.desc())
    return await session.scalar(select(Row.id).where(Row.subscriber_id == subscriber_id).order_by(*order).limit(1))


async def make_due(session: Session, change_id: str) -> None:
    """Make updating Stripe's customer due again."""
    await session.execute(update(Row).where(Row.id == change_id).values(due_at=func.now(), attempts=0))
    await leases.notify(session)


async def finish(session: Session, change_id: str) -> None:
    """Mark a change as complete at Stripe."""
    await session.execute(update(Row).where(Row.id == change_id).values(due_at=None, attempts=0, last_error=None))


async def reader(session: Reads, subscriber_id: str) -> SubscriberRecord | None:
    """Return a subscriber with their former email addresses and names, the newest first."""
    rows = list(await session.execute(_WITH_FORMER, {"its_id": subscriber_id}))
    return of_row(rows[0], [one for row in rows for one in (row.former_email, row.former_name)]) if rows else None
