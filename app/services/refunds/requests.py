"""Refund requests: issued, approved or rejected by a second person, and listed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.aggregates import approvals, cutoffs, declarations, quotes, refund_orders
from app.context import Context
from app.db import approvals as approvals_db
from app.db import audit, intents, payments, refunds, subscribers
from app.db.engine.session import Session, new_id
from app.domain.approvals import check_beneficiary, check_decision
from app.domain.audit import Selection, join_reason
from app.domain.declarations import Channel
from app.domain.errors import NotFound
from app.domain.money import Money
from app.domain.pages import Page, page_of
from app.domain.quotes import accept, quote
from app.domain.reasons import RefundReason
from app.domain.refunds import (
    UNDONE,
    PaidByCredit,
    QuoteChanged,
    Refund,
    RefundBasis,
    RefundStatus,
    RefundTooLarge,
)
from app.domain.rules import Rules
from app.services.refunds import payout

# Bases that return everything, so that requests which await approval have no object anymore.
REPLACES_REQUESTS = frozenset({RefundBasis.GUARANTEE, RefundBasis.WITHDRAWAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A requested refund of a payment."""

    payment_id: str
    basis: str
    reason: str
    note: str | None
    expected: Money  # the quoted amount
    amount: Money | None = None  # of goodwill only
    request_hash: str | None = None  # of the API request (see app.services.idempotency)


async def guarantee_request(ctx: Context, sub: str, *, expected: Money, now: datetime) -> RefundRequest:
    """
    Return the request for a reader's guarantee refund.

    :raises NoSubscription: the reader has no paid subscription.
    :raises PaidByCredit: nothing was charged for it.
    """
    async with ctx.sessions.begin() as session:
        payment_id, _ = await quotes.guarantee_of(session, ctx.rules, sub, now=now)
    if payment_id is None:
        raise PaidByCredit
    return RefundRequest(
        payment_id=payment_id,
        basis=RefundBasis.GUARANTEE,
        reason=RefundReason.REQUESTED_BY_READER,
        note=None,
        expected=expected,
    )


async def create(
    session: Session, rules: Rules, request: RefundRequest, *, refund_id: str, by: str, now: datetime
) -> Sequence[Refund]:
    """
    Check a request against a new quote and store its refunds, due now or awaiting approval.

    :raises NotFound: the payment does not exist.
    :raises DomainError: as :func:`issue` does.
    """
    owner = await payments.owner_of(session, request.payment_id)
    if owner is None:
        raise NotFound("No such payment")
    if request.basis == RefundBasis.GOODWILL:
        await approvals_db.lock_person(session, by)
    subscriber = await subscribers.lock(session, owner[0])
    check_beneficiary(subscriber.sub, by=by)
    now = await cutoffs.settle(session, rules.zone, now=now)
    quotable = await quotes.of_payment(session, rules, request.payment_id, now=now)
    if quotable is None:
        raise NotFound("No such payment")
    case = quotable.case
    quoted = quote(case, request.basis, now=now, zone=rules.zone)
    parts = accept(quoted, request.expected, amount=request.amount, refunds=case.refunds)
    needs_second_person = request.amount is not None and request.amount.amount > await approvals.goodwill_left(
        session, rules, case, by=by, now=now
    )
    if request.basis in REPLACES_REQUESTS:
        replaced = [part.payment.id for part in parts]
        await refund_orders.withdraw_requests(session, replaced, by=by, reason=request.basis, now=now)
    made = [
        Refund(
            id=refund_id if index == 0 else new_id("rfd"),
            group_id=refund_id,
            payment_id=part.payment.id,
            subscriber_id=quotable.subscriber_id,
            basis=request.basis,
            amount=part.amount,
            tax=part.tax,
            currency=part.payment.currency,
            reason=request.reason,
            note=request.note,
            requested_by=by,
            status=RefundStatus.AWAITING_APPROVAL if needs_second_person else RefundStatus.PROCESSING,
            created_at=now,
            request_hash=request.request_hash,
        )
        for index, part in enumerate(parts)
    ]
    for refund in made:
        await _insert(session, refund)
    return made


async def issue(ctx: Context, request: RefundRequest, *, refund_id: str, by: str, now: datetime) -> list[Refund]:
    """
    Refund a payment, and with the guarantee every other payment of the term.

    A repeated call with the same ``refund_id`` continues where the first one stopped.

    :param by: the actor, as in the audit log.
    :returns: one refund for each payment, the requested one first. Their status is ``awaiting_approval``, or still
        ``processing`` if Stripe has not responded; a worker completes those.
    :raises RefundRefused: the basis does not apply, or Stripe declined.
    :raises QuoteChanged: the amount differs from the expected one.
    :raises RefundTooLarge: the amount is larger than what can be refunded.
    :raises RefundInProgress: another refund of the payment is in progress.
    :raises OwnAccount: a member of staff requests it for themselves.
    """
    async with ctx.sessions.begin() as session:
        if await refunds.by_id(session, refund_id) is None:
            if (earlier := await _made_before_restore(session, request)) is not None:
                return await refunds.of_group(session, earlier.group_id)
            made = await create(session, ctx.rules, request, refund_id=refund_id, by=by, now=now)
            if request.basis == RefundBasis.WITHDRAWAL:
                await declarations.record_withdrawal(
                    session, ctx.rules, ctx.localization, made, channel=Channel.STAFF, by=by, now=now
                )
        taken = await refunds.lease_group(session, refund_id, owner=new_id("own"), lease=ctx.settings.lease)
    return await payout.pay(ctx, taken, now=now)


async def approve(ctx: Context, refund_id: str, *, by: str, now: datetime) -> list[Refund]:
    """
    Approve a refund if it is still worth what was requested, and pay it. A repeated approval has no further effect.

    :returns: the refunds of the request, as :func:`issue` does.
    :raises NotFound: the refund does not exist.
    :raises OwnRequest: the approver has requested it.
    :raises OwnAccount: the approver would get it.
    :raises NotAwaitingApproval: it was already decided.
    :raises QuoteChanged: less can be refunded by now.
    :raises RefundRefused: it is no longer possible, or Stripe declined.
    :raises RefundInProgress: another refund of the payment is in progress.
    """
    async with ctx.sessions.begin() as session:
        refund, sub = await _locked(session, refund_id)
        if refund.decided_by != by or refund.status in UNDONE:
            check_decision(requested_by=refund.requested_by, status=refund.status, sub=sub, by=by)
            await _approve(session, ctx.rules, refund, by=by, now=now)
        taken = await refunds.lease_group(session, refund.group_id, owner=new_id("own"), lease=ctx.settings.lease)
    return await payout.pay(ctx, taken, now=now)


async def reject(ctx: Context, refund_id: str, *, by: str, note: str | None, now: datetime) -> Refund:
    """
    Reject a refund, so that its amount can be refunded otherwise. A repeated rejection has no further effect.

    :raises NotFound: the refund does not exist.
    :raises OwnRequest: the one who rejects it has requested it.
    :raises OwnAccount: the one who rejects it would get it.
    :raises NotAwaitingApproval: it was already decided.
    """
    async with ctx.sessions.begin() as session:
        refund, sub = await _locked(session, refund_id)
        if refund.decided_by == by and refund.status == RefundStatus.REJECTED:
            return refund
        check_decision(requested_by=refund.requested_by, status=refund.status, sub=sub, by=by)
        await _record_decision(session, refund, RefundStatus.REJECTED, "refund.rejected", by=by, reason=note, now=now)
        return await _find(session, refund_id)


async def page(ctx: Context, *, status: str | None, attention: bool, after: str | None, limit: int) -> Page[Refund]:
    """Return refunds, the newest first: all, those with a status, or those that need attention."""
    async with ctx.sessions.begin() as session:
        found = await refunds.page(session, status=status, attention=attention, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda refund: refund.id)


async def get(ctx: Context, refund_id: str) -> list[Refund]:
    """
    Return a refund, and after it the others of the same request.

    :raises NotFound: the refund does not exist.
    """
    async with ctx.sessions.begin() as session:
        refund = await _find(session, refund_id)
        all_refunds = await refunds.of_group(session, refund.group_id)
    return sorted(all_refunds, key=lambda one: one.id != refund_id)


async def _made_before_restore(session: Session, request: RefundRequest) -> Refund | None:
    """Return the refund of the same request, if a restored backup has lost the key and Stripe's refund was found."""
    if request.request_hash is None:
        return None
    return await refunds.restored(session, request.payment_id, request_hash=request.request_hash)


async def _insert(session: Session, refund: Refund) -> None:
    is_due = refund.status != RefundStatus.AWAITING_APPROVAL
    await refunds.insert(session, refund, unfinished=is_due)
    if is_due:
        await intents.record(session, refund.id, "refund", payout.parameters_of(refund))
    await audit.record(
        session,
        actor=refund.requested_by,
        action="refund.requested",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=refund.reason,
        after={
            "payment": refund.payment_id,
            "basis": refund.basis,
            "amount": refund.amount,
            "tax": refund.tax,
            "status": refund.status,
        },
    )


async def _approve(session: Session, rules: Rules, refund: Refund, *, by: str, now: datetime) -> None:
    """Quote the refund again, as if it had not been requested yet, and make it due."""
    now = await cutoffs.settle(session, rules.zone, now=now)
    quotable = await quotes.of_payment(session, rules, refund.payment_id, now=now)
    assert quotable is not None
    others = [other for other in quotable.case.refunds if other.id != refund.id]
    quoted = quote(replace(quotable.case, refunds=others), refund.basis, now=now, zone=rules.zone)
    try:
        accept(quoted, refund.money, amount=refund.money, refunds=others)
    except RefundTooLarge as too_large:
        raise QuoteChanged(
            f"Only {quoted.amount} of the requested {refund.amount} can still be refunded",
            expected=refund.amount,
            amount=quoted.amount,
        ) from too_large
    await _record_decision(
        session, refund, RefundStatus.PROCESSING, "refund.approved", by=by, reason=refund.reason, now=now
    )


async def why_rejected(ctx: Context, refund: Refund) -> str | None:
    """Return what the person who rejected a refund gave as the reason; None: it was not rejected, or nothing is known."""
    if refund.status != RefundStatus.REJECTED:
        return None
    wanted = Selection(action="refund.rejected", object_id=refund.id)
    async with ctx.sessions.begin() as session:
        found = await audit.page(session, wanted, before=None, limit=1)
    return join_reason(found[0].entry.reason, found[0].note) if found else None


async def _find(session: Session, refund_id: str) -> Refund:
    refund = await refunds.by_id(session, refund_id)
    if refund is None:
        raise NotFound("No such refund")
    return refund


async def _locked(session: Session, refund_id: str) -> tuple[Refund, str]:
    """Return a refund under its subscriber's lock, and the subscriber's ``sub``."""
    subscriber = await subscribers.lock(session, (await _find(session, refund_id)).subscriber_id)
    return await _find(session, refund_id), subscriber.sub


async def _record_decision(
    session: Session, refund: Refund, status: str, action: str, *, by: str, reason: str | None, now: datetime
) -> None:
    await refunds.settle_decision(session, refund.id, status, by=by, now=now)
    await audit.record(
        session,
        actor=by,
        action=action,
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=reason,
        before={"status": RefundStatus.AWAITING_APPROVAL},
        after={"status": status, "amount": refund.amount},
    )
