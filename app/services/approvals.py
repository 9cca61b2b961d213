"""Refunds that wait for a second person: listed, approved, rejected. Nobody decides about what they asked for themselves."""

from dataclasses import dataclass, replace
from datetime import datetime

from app.aggregates import quotes
from app.context import Context
from app.db import audit, refunds, subscribers
from app.db.engine.session import Session, new_id
from app.domain.errors import NotFound
from app.domain.quotes import accept, quote
from app.domain.refunds import AWAITING, PROCESSING, REJECTED, UNDONE, QuoteChanged, Refund, RefundTooLarge, decide
from app.domain.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where it goes on."""

    found: list[Refund]
    next: str | None


async def listed(ctx: Context, *, status: str | None, attention: bool, after: str | None, limit: int) -> Page:
    """Return refunds, the newest first: of one status, or those that a person has to look at."""
    async with ctx.sessions.begin() as session:
        found = await refunds.page(session, status=status, attention=attention, after=after, limit=limit + 1)
    return Page(found=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


async def shown(ctx: Context, refund_id: str) -> list[Refund]:
    """
    Return a refund, and after it the others that were asked for in the same go.

    :raises NotFound: there is none of that id.
    """
    async with ctx.sessions.begin() as session:
        refund = await _found(session, refund_id)
        act = await refunds.of_act(session, refund.act_id)
    return sorted(act, key=lambda one: one.id != refund_id)


async def approve(ctx: Context, refund_id: str, *, by: str, now: datetime) -> refunds.Taken:
    """
    Let a refund be paid, if it is still worth what was asked for. From then on it is due. Told again, it counts once.

    :returns: it, with its payment leased for whoever pays it now.
    :raises NotFound: there is none of that id.
    :raises OwnRequest: they asked for it themselves.
    :raises NotAwaitingApproval: it was decided already.
    :raises QuoteChanged: less is left now.
    :raises RefundRefused: it is not possible any more.
    :raises RefundInProgress: another refund of the payment is on its way; try again.
    """
    async with ctx.sessions.begin() as session:
        refund = await _locked(session, refund_id)
        if refund.decided_by != by or refund.status in UNDONE:
            await _approve(session, ctx.rules, refund, by=by, now=now)
        return await refunds.take(session, refund.act_id, owner=new_id("own"), lease=ctx.settings.lease)


async def _approve(session: Session, rules: Rules, refund: Refund, *, by: str, now: datetime) -> None:
    """Quote it again, as if it had not been asked for yet, and have it paid."""
    decide(refund, by=by)
    asked = await quotes.of_payment(session, rules, refund.payment_id, now=now)
    assert asked is not None
    others = [other for other in asked.case.refunds if other.id != refund.id]
    quoted = quote(replace(asked.case, refunds=others), refund.basis, now=now, zone=rules.zone)
    try:
        accept(quoted, refund.money, amount=refund.money, refunds=others)
    except RefundTooLarge as too_large:
        raise QuoteChanged(
            f"{refund.amount} was asked for, and {quoted.amount} is left now",
            expected=refund.amount,
            amount=quoted.amount,
        ) from too_large
    await _decide(session, refund, PROCESSING, "refund.approved", by=by, why=refund.reason, now=now)


async def reject(ctx: Context, refund_id: str, *, by: str, note: str | None, now: datetime) -> Refund:
    """
    Refuse a refund that waits; what was reserved for it is free again. Told again, it counts once.

    :raises NotFound: there is none of that id.
    :raises OwnRequest: they asked for it themselves.
    :raises NotAwaitingApproval: it was decided already.
    """
    async with ctx.sessions.begin() as session:
        refund = await _locked(session, refund_id)
        if refund.decided_by == by and refund.status == REJECTED:
            return refund
        decide(refund, by=by)
        await _decide(session, refund, REJECTED, "refund.rejected", by=by, why=note, now=now)
        return await _found(session, refund_id)


async def _found(session: Session, refund_id: str) -> Refund:
    refund = await refunds.by_id(session, refund_id)
    if refund is None:
        raise NotFound("there is no such refund")
    return refund


async def _locked(session: Session, refund_id: str) -> Refund:
    await subscribers.lock(session, (await _found(session, refund_id)).subscriber_id)
    return await _found(session, refund_id)


async def _decide(
    session: Session, refund: Refund, status: str, action: str, *, by: str, why: str | None, now: datetime
) -> None:
    await refunds.settle_decision(session, refund.id, status, by=by, now=now)
    await audit.record(
        session,
        actor=by,
        action=action,
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=why,
        before={"status": AWAITING},
        after={"status": status, "amount": refund.amount},
    )
