"""A warning before a reader subscribes with a second account."""

from datetime import datetime

from app.aggregates.lapsed_subscriptions import find_running
from app.db import audit, subscribers
from app.db.engine.session import Session
from app.domain.callers import Reader
from app.domain.duplicates import PossibleDuplicate
from app.domain.imports import UNCLAIMED
from app.domain.rules import Rules
from app.email_addresses import canonical


async def check(session: Session, rules: Rules, reader: Reader, *, allow: bool, now: datetime) -> None:
    """
    Warn a reader whose verified email address is also that of another account with a running subscription.

    An address that the identity provider has not verified proves nothing, so nothing is said about other accounts. An
    imported subscriber has the address that Stripe has sent receipts to. With ``allow``, the reader has seen the warning,
    which is recorded for staff.

    :raises PossibleDuplicate: there is one, and ``allow`` is false.
    """
    if reader.email is None or not reader.email_verified:
        return
    wanted = canonical(reader.email)
    found = await subscribers.with_email(session, reader.email) if wanted is not None else []
    same = [one for one in found if canonical(one.email) == wanted]
    own = await subscribers.by_sub(session, reader.sub)
    if own is not None and await find_running(session, rules, own.id, now=now):
        return  # that is what they are told
    others = [one for one in same if one.sub != reader.sub and (one.email_verified or one.sub.startswith(UNCLAIMED))]
    subscribed = [one.id for one in others if await find_running(session, rules, one.id, now=now)]
    if not subscribed:
        return
    if not allow:
        raise PossibleDuplicate
    buyer = await subscribers.ensure(session, sub=reader.sub, email=reader.email, name=reader.name)
    await audit.record(
        session,
        actor=reader.actor,
        action="checkout.duplicate_allowed",
        object_id=buyer.id,
        subscriber_id=buyer.id,
        after={"subscribers": subscribed},
    )
