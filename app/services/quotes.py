"""Refund quotes: for staff on each basis, for a reader under the guarantee."""

from datetime import datetime

from app.aggregates import approvals
from app.aggregates import quotes as cases
from app.context import Context
from app.domain.errors import NotFound
from app.domain.quotes import Quote, quotes


async def of_payment(ctx: Context, payment_id: str, *, now: datetime) -> list[Quote]:
    """
    Return the quote of a payment on each basis, with the reason if it does not apply.

    :raises NotFound: the payment does not exist.
    """
    quotable = await cases.of_payment(ctx.reads, ctx.rules, payment_id, now=now)
    if quotable is None:
        raise NotFound("No such payment")
    return quotes(quotable.case, now=now, zone=ctx.rules.zone)


async def goodwill_left(ctx: Context, payment_id: str, *, by: str, now: datetime) -> int:
    """
    Return how much goodwill a person may still give alone on a payment, in minor units of its currency.

    :param by: the actor, as in the audit log.
    :raises NotFound: the payment does not exist.
    """
    async with ctx.sessions.begin() as session:
        quotable = await cases.of_payment(session, ctx.rules, payment_id, now=now)
        if quotable is None:
            raise NotFound("No such payment")
        return await approvals.goodwill_left(session, ctx.rules, quotable.case, by=by, now=now)


async def guarantee_of(ctx: Context, sub: str, *, now: datetime) -> tuple[str | None, Quote]:
    """Return a reader's guarantee quote; see :func:`app.aggregates.quotes.guarantee_of`."""
    async with ctx.sessions.begin() as session:
        return await cases.guarantee_of(session, ctx.rules, sub, now=now)
