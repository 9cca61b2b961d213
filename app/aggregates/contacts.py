"""A reader's email address and name, followed from a token in the caller's transaction."""

from app.db import audit, contacts
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.callers import Reader
from app.domain.contacts import follow


async def update(session: Session, subscriber: Subscriber, reader: Reader) -> bool:
    """
    Save what a token says of its reader, if it is new. The caller holds the subscriber's lock.

    :returns: whether the address or the name has changed; updating Stripe's customer is then due.
    """
    known = await contacts.of_sub(session, subscriber.sub)
    if known is None or (contact := follow(known, reader)) == known:
        return False
    await contacts.save(session, subscriber.id, contact, known=known)
    if not contact.is_readdressed(known):
        return False
    changed = [name for name in ("email", "name") if getattr(known, name) not in {None, getattr(contact, name)}]
    if not changed:  # the first that we know
        return True
    await audit.record(
        session,
        actor=f"reader:{subscriber.sub}",
        action="subscriber.contact_changed",
        object_id=subscriber.id,
        subscriber_id=subscriber.id,
        after={"changed": changed},
    )
    return True


async def push_again(session: Session, subscriber_id: str) -> None:
    """Make updating Stripe's customer due, because it was created with a former address or name."""
    newest = await contacts.newest(session, subscriber_id)
    if newest is not None:
        await contacts.make_due(session, newest)
