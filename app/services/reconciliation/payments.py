"""The phases of a sweep that compare payments, refunds and disputes."""

from datetime import datetime
from functools import partial

from app.aggregates import missing_terms
from app.db import disputes, payments, refunds, subscriptions
from app.db import reconciliation as rows
from app.db.reconciliation import Sweep
from app.domain import events
from app.domain.disputes import StripeDisputeState
from app.domain.reconciliation import (
    Difference,
    ListedInvoice,
    ListedRefund,
    SweepKind,
    SweepPhase,
    compare_dispute,
    compare_refund,
)
from app.domain.reconciliation import compare_payments as differing_payments
from app.domain.subscriptions import ForeignStripeObject
from app.domain.sweep_ranges import PageRead
from app.gateway import reconciliation as at_stripe
from app.gateway import refunds as refunds_at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.services.reconciliation.running import Found, Phase, Run, is_preview


async def _compare_payments(run: Run, sweep: Sweep, page: PageRead[ListedInvoice]) -> Found:
    """
    Compare the payments of a page of invoices, and the terms of those that were paid without a payment.

    Missing subscriptions were found in the phase before.
    """
    async with run.ctx.sessions.begin() as session:
        unpaid = await missing_terms.candidates(session, page.items)
    missing = await missing_terms.find(
        run.ctx.sessions, run.ctx.rules, unpaid, partial(subscriptions_at_stripe.fetch, run.ctx.gateway)
    )
    listed = [one for one in page.items if one.subscription_id is not None and one.invoice.payments]
    subscription_ids = [str(one.subscription_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        known_ids = {
            *(await subscriptions.by_stripe_ids(session, subscription_ids)),
            *(await rows.differing_objects(session, sweep.id, subscription_ids)),
        }
        our_payments = await payments.by_ids(session, [paid.id for one in listed for paid in one.invoice.payments])
        pending = await rows.pending_keys(
            session,
            [f"{events.RefetchKind.SUBSCRIPTION}:{one}" for one in subscription_ids]
            + [str(one.key) for one in missing],
        )
        found = [one for one in missing if one.key not in pending]
        found += [
            difference
            for one in listed
            if one.subscription_id in known_ids
            and f"{events.RefetchKind.SUBSCRIPTION}:{one.subscription_id}" not in pending
            for difference in differing_payments(one, our_payments)
        ]
    if is_preview(sweep):
        for one in listed:
            found += await run.preview.late_payments(one)
    return Found(differences=found, looked_at={SweepPhase.PAYMENTS: sum(len(one.invoice.payments) for one in listed)})


async def _compare_refunds(run: Run, sweep: Sweep, page: PageRead[ListedRefund]) -> Found:
    """Compare a page of refunds. An import includes those whose payment is not imported yet."""
    listed = [one for one in page.items if one.payment_id is not None]
    payment_ids = [str(one.payment_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        known_ids = {
            *(await payments.by_ids(session, payment_ids)),
            *(await rows.differing_objects(session, sweep.id, payment_ids)),
        }
        pending = await rows.pending_keys(session, [f"{events.RefetchKind.PAYMENT}:{one}" for one in payment_ids])
    found = []
    for one in listed:
        is_relevant = one.payment_id in known_ids or sweep.kind == SweepKind.IMPORT
        if is_relevant and f"{events.RefetchKind.PAYMENT}:{one.payment_id}" not in pending:
            difference = await _refund(run, one)
            if difference is not None:
                found.append(difference)
            if is_preview(sweep):
                found += await run.preview.history(str(one.payment_id))
    return Found(differences=found, looked_at={SweepPhase.REFUNDS: len(listed)})


async def _refund(run: Run, listed: ListedRefund) -> Difference | None:
    """Return the difference of a refund, if it is still there when the refund is fetched by itself."""
    for fetch in (False, True):
        theirs = await at_stripe.refund(run.ctx.gateway, listed.refund.id) if fetch else listed.refund
        async with run.ctx.sessions.begin() as session:
            ours = await refunds.at_stripe(session, theirs.id, ours=theirs.ours, payment_id=str(listed.payment_id))
        difference = compare_refund(ours, ListedRefund(refund=theirs, payment_id=listed.payment_id))
        if difference is None:
            return None
    return difference


async def _compare_disputes(run: Run, sweep: Sweep, page: PageRead[StripeDisputeState]) -> Found:
    """Compare a page of disputes. An import includes those whose payment is not imported yet."""
    listed = [one for one in page.items if one.payment_id is not None]
    payment_ids = [str(one.payment_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        known_ids = {
            *(await payments.by_ids(session, payment_ids)),
            *(await rows.differing_objects(session, sweep.id, payment_ids)),
        }
        pending = await rows.pending_keys(session, [f"{events.RefetchKind.PAYMENT}:{one}" for one in payment_ids])
        our_disputes = await disputes.by_ids(session, [one.id for one in listed])
    found = []
    for one in listed:
        difference = compare_dispute(our_disputes.get(one.id), one)
        is_ours = one.payment_id in known_ids or (sweep.kind == SweepKind.IMPORT and await _is_ours(run, one))
        if difference is None or not is_ours or difference.key in pending:
            continue
        found.append(difference)
        if is_preview(sweep):
            found += await run.preview.history(str(one.payment_id))
    return Found(differences=found, looked_at={SweepPhase.DISPUTES: len(listed)})


async def _is_ours(run: Run, dispute: StripeDisputeState) -> bool:
    """Return whether a dispute is about a payment of a subscription to one of our plans."""
    try:
        invoice = await refunds_at_stripe.invoice_of(run.ctx.gateway, str(dispute.payment_id))
        stripe_id = await subscriptions_at_stripe.of_invoice(run.ctx.gateway, invoice)
        return (await at_stripe.subscription(run.ctx.gateway, stripe_id)).plan in run.ctx.rules.catalogue.plans
    except (ForeignStripeObject, Gone):
        return False


def _since(run: Run, _sweep: Sweep) -> datetime | None:
    return run.since


PAYMENTS = Phase(
    since=_since,
    list_page=lambda run, _, range_: at_stripe.invoices(run.ctx.gateway, range_),
    compare=_compare_payments,
)
REFUNDS = Phase(
    since=_since,
    list_page=lambda run, _, range_: at_stripe.refunds(run.ctx.gateway, range_),
    compare=_compare_refunds,
)
DISPUTES = Phase(
    since=_since,
    list_page=lambda run, _, range_: at_stripe.disputes(run.ctx.gateway, range_),
    compare=_compare_disputes,
)
