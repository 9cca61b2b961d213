"""Refund quotes: for staff on each basis, for a reader under the guarantee."""

from datetime import datetime

from app.aggregates import quotes as cases
from app.context import Context
from app.db.engine.fast_reads import FastReads
from app.domain.errors import NotFound
from app.domain.quotes import Quote, guarantee_quote, quotes


async def of_payment(ctx: Context, payment_id: str, *, now: datetime) -> list[Quote]:
    """
    Return the quote of a payment on each basis, with the reason if it does not apply.

    :raises NotFound: the payment does not exist.
    """
    quotable = await cases.of_payment(FastReads(ctx.pool), ctx.rules, payment_id, now=now)
    if quotable is None:
        raise NotFound("No such payment")
    return quotes(quotable.case, now=now, zone=ctx.rules.zone)


async def guarantee_of(ctx: Context, sub: str, *, now: datetime) -> tuple[str, Quote]:
    """
    Return the payment that the guarantee covers for a reader, and its quote.

    :raises NoSubscription: the reader has no paid subscription.
    """
    async with ctx.sessions.begin() as session:
        quotable = await cases.of_reader(session, ctx.rules, sub, now=now)
    return guarantee_quote(quotable.case, now=now, zone=ctx.rules.zone)
