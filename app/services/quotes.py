"""What a refund would be worth: for the desk on each basis, for a reader under the guarantee. Nothing is changed."""

from datetime import datetime

from app.aggregates import quotes as cases
from app.context import Context
from app.db import subscribers, subscriptions
from app.domain.errors import NotFound
from app.domain.quotes import Quote, guarantee_quote, quotes
from app.domain.subscriptions import NoSubscription


async def of_payment(ctx: Context, payment_id: str, *, now: datetime) -> list[Quote]:
    """
    Return what each basis would pay for a payment now, and why or why not.

    :raises NotFound: there is no such payment.
    """
    async with ctx.sessions.begin() as session:
        asked = await cases.of_payment(session, ctx.rules, payment_id, now=now)
    if asked is None:
        raise NotFound("there is no such payment")
    return quotes(asked.case, now=now, zone=ctx.rules.zone)


async def guarantee_of(ctx: Context, sub: str, *, now: datetime) -> tuple[str, Quote]:
    """
    Return the payment that a reader's guarantee is about, with what it would pay now.

    :raises NoSubscription: they never paid for one.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        held = await subscriptions.current(session, subscriber.id) if subscriber else None
        asked = await cases.of_subscription(session, ctx.rules, held.id, now=now) if held else None
    if asked is None:
        raise NoSubscription
    return guarantee_quote(asked.case, now=now, zone=ctx.rules.zone)
