"""What canceling a subscription would do, before the reader decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.aggregates import places
from app.context import Context
from app.db import issues, subscriptions
from app.domain.cancellations import (
    EndPreview,
    OpenInvoice,
    must_end_now,
    preview_period_end,
    probably_must_end_now,
)
from app.domain.early_exits import early_exit
from app.domain.errors import StripeUnavailable
from app.domain.issues import schedule_terms
from app.domain.subscriptions import AlreadyEnded, Subscription
from app.gateway import cancellations as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPreview:
    """
    What canceling would do.

    :param editions_until: until when the editions stay available after the paid period, because issues are owed.
    :param open_invoices: invoices that are voided as soon as the subscription ends at Stripe.
    """

    period_end: EndPreview
    editions_until: datetime | None
    open_invoices: Sequence[OpenInvoice]
    notice_ends_at: datetime | None = None  # when it ends at a month's notice; None: there is no such right


async def preview(ctx: Context, subscription: Subscription, *, now: datetime) -> CancelPreview:
    """
    Return what canceling a subscription would do. Nothing is changed.

    As the cancellation itself, it depends on the state at Stripe. If Stripe does not respond, our copy is used.

    :raises AlreadyEnded: the subscription has ended.
    """
    if not subscription.can_be_canceled:
        raise AlreadyEnded
    async with ctx.sessions.begin() as session:
        terms = await subscriptions.terms_of(session, subscription.id)
        calendar = await issues.calendar(session, ctx.rules.zone)
        place = await places.of_reader(session, subscription.subscriber_id, subscription)
    try:
        state = await subscriptions_at_stripe.fetch(ctx.gateway, subscription.stripe_id)
        ends_now, open_invoices = must_end_now(state), await at_stripe.open_invoices(ctx.gateway, state)
    except (StripeUnavailable, Gone):
        ends_now, open_invoices = probably_must_end_now(subscription, terms), []
    grace = ctx.rules.access.grace_period
    runs = schedule_terms(subscription, terms, calendar, ctx.rules.catalogue, grace=grace)
    owed_until = [at for at in (run.editions_until() for run in runs) if at is not None]
    return CancelPreview(
        period_end=preview_period_end(subscription, terms, ends_now=ends_now, now=now),
        editions_until=max(owed_until, default=None),
        open_invoices=open_invoices,
        notice_ends_at=early_exit(place, subscription, terms, now=now, zone=ctx.rules.zone),
    )
