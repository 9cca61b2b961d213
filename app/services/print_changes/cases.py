"""What a quote depends on: our copy, fetched anew, and what Stripe would bill."""

from datetime import datetime
from typing import Any

from app.aggregates import current_subscription
from app.context import Context
from app.db import disputes, issues, payments, print_changes, refunds, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.issues import schedule_terms
from app.domain.plans import PRINT, Plan, PriceUnavailable
from app.domain.print_quotes import (
    Bill,
    PrintCase,
    addition_starts_at,
    joined_late,
    payments_by_balance,
    price_of_addition,
    quote_addition,
)
from app.domain.progress import term_of
from app.domain.subscriptions import ForeignStripeObject, NoSubscription, StripeSubscriptionState, Subscription
from app.gateway import prices
from app.gateway import print_changes as at_stripe
from app.gateway.client import Gone
from app.services.print_changes.lines import line_parameters
from app.services.print_changes.steps import sync


async def fetch(ctx: Context, sub: str, only: str | None, *, now: datetime) -> StripeSubscriptionState:
    """Sync a reader's subscription, so that a quote is never about an older state."""
    async with ctx.sessions.begin() as session:
        held = await find(session, sub, only)
    try:
        return await sync(ctx, held.stripe_id, now=now)
    except (Gone, ForeignStripeObject) as missing:
        raise NoSubscription from missing


async def find(session: Session, sub: str, only: str | None) -> Subscription:
    """
    Return a reader's subscription.

    :raises NoSubscription: there is none.
    """
    subscriber = await subscribers.by_sub(session, sub)
    found: Subscription | None = None
    if subscriber is not None and only is None:
        current = await current_subscription.find(session, subscriber.id)
        found = current[0] if current is not None else None
    elif subscriber is not None and only is not None:
        named = await subscriptions.by_id(session, only)
        found = named if named is not None and named.subscriber_id == subscriber.id else None
    if found is None:
        raise NoSubscription
    return found


async def load(
    session: Session, ctx: Context, held: Subscription, state: StripeSubscriptionState, *, now: datetime
) -> PrintCase:
    """Load everything that a quote depends on."""
    rules = ctx.rules
    terms = await subscriptions.terms_of(session, held.id)
    term = next((one for one in reversed(terms) if one.starts_at <= now < one.ends_at), None)
    calendar = await issues.calendar(session, rules.zone)
    grace = rules.access.grace_period
    runs = schedule_terms(held, terms, calendar, rules.catalogue, grace=grace) if len(calendar) else []
    paid = await payments.of_subscription(session, held.id)
    is_unbilled = held.print_edition and term is not None and not term.print_edition
    if is_unbilled and term is not None:
        is_unbilled = joined_late(await print_changes.latest(session, held.id), term)
    return PrintCase(
        subscription=held,
        plan=rules.catalogue.plan(held.plan),
        term=term,
        run=next((one for one in runs if term is not None and one.term.invoice_id == term.invoice_id), None),
        payments=[one for one in paid if one.amount > 0 and term is not None and term_of(one, terms) == term],
        refunds=await refunds.of_subscriber(session, held.subscriber_id),
        unrefundable=await disputes.unrefundable_payments(session, held.subscriber_id),
        paid_by_balance=payments_by_balance(state, term) if term is not None else (),
        dropped_at=max([*state.print_dropped, *await print_changes.dropped(session, held.id)], default=None),
        is_scheduled=state.schedule_id is not None,
        is_unbilled=is_unbilled,
    )


async def bill(ctx: Context, case: PrintCase, state: StripeSubscriptionState, *, now: datetime) -> Bill | None:
    """Ask Stripe what it would bill; None if there is nothing to bill."""
    if quote_addition(case, None, now=now).refusal is not None or case.term is None:
        return None
    price = price_of_addition(case, now=now)
    if price == 0:
        return Bill(total=0, tax=0, credit=0)
    line = line_parameters(case.plan, price, addition_starts_at(case, now=now), case.term.ends_at)
    ends: dict[str, Any] = {}
    if state.cancel_at is not None:
        ends = {"cancel_at_period_end": False} if state.ends_by_flag else {"cancel_at": ""}
    return await at_stripe.preview(
        ctx.gateway, state.id, state.customer_id, line, ends=ends, automatic_tax=ctx.settings.automatic_tax
    )


async def price_id(ctx: Context, plan: Plan) -> str:
    """
    Return the ID of Stripe's price for the renewals.

    :raises PriceUnavailable: it is archived, missing or different from the catalogue's.
    """
    price = plan.prices[PRINT]
    found = (await prices.purchasable(ctx.gateway, [price.lookup_key])).get(price.lookup_key)
    if found is None or (found.amount, found.currency) != (price.price.amount, price.price.currency):
        raise PriceUnavailable(
            f"Stripe's price {price.lookup_key} is missing, or differs from the catalogue's", plan=plan.code
        )
    return found.id
