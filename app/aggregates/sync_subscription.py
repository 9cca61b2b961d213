"""
Syncing a subscription with Stripe: our copy, its terms and payments, its grants, and what follows from its end.

Several use cases fetch a subscription and save what they fetched. A state is saved only if our copy has not changed
since the fetch began; otherwise it is fetched again. Stripe is never called inside a transaction, so :func:`sync` and
:func:`fetch_and_save` open their own; :func:`save` uses the caller's.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from app.aggregates import addresses, cancellations, credits, duplicates, grants, imports
from app.aggregates.retries import retry_on_conflict
from app.db import anomalies, checkouts, inbox, outbox, payments, print_changes, refunds, subscribers, subscriptions
from app.db.engine.session import Session, Sessions
from app.db.subscribers import Subscriber
from app.domain.access_status import access_status
from app.domain.anomalies import UNKNOWN_CUSTOMER, print_charged_late, print_drop_missing, print_unbilled
from app.domain.anomalies import item_anomalies as anomalies_of_items
from app.domain.credits import credits_of
from app.domain.events import RefetchKind
from app.domain.imports import CREATION_EVENTS, DELIVERY_PERIOD, HISTORY_CODES
from app.domain.outbox import OutboxReader, subscription_events
from app.domain.payments import payments_of
from app.domain.plans import PRINT
from app.domain.print_quotes import joined_late
from app.domain.print_renewals import paid_since
from app.domain.refunds import CONFIRMED
from app.domain.rules import Rules
from app.domain.subscriptions import (
    OVER,
    ForeignStripeObject,
    StripeSubscriptionState,
    Subscription,
    Term,
    UnknownCustomer,
)
from app.domain.terms import terms_of
from app.domain.transitions import unreachable_origin

Fetch = Callable[[], Awaitable[StripeSubscriptionState]]


async def sync(
    sessions: Sessions,
    rules: Rules,
    stripe_id: str,
    fetch: Fetch,
    *,
    now: datetime,
    version: int | None = None,
    fetched: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Do as :func:`fetch_and_save`, and report a subscription to one of our plans that cannot be saved as an anomaly.

    :raises ForeignStripeObject: it is for another product, or its customer is not one of our subscribers.
    :raises UnknownPlan: the catalogue no longer has its plan.
    :raises ConcurrentUpdate: our copy kept changing.
    """
    last = fetched

    async def remember() -> StripeSubscriptionState:
        nonlocal last
        last = await fetch()
        return last

    try:
        return await fetch_and_save(sessions, rules, stripe_id, remember, now=now, version=version, fetched=fetched)
    except ForeignStripeObject as refusal:
        if last is not None:
            async with sessions.begin() as session:
                await _report_foreign(session, rules, last, refusal)
        raise


async def fetch_and_save(
    sessions: Sessions,
    rules: Rules,
    stripe_id: str,
    fetch: Fetch,
    *,
    now: datetime,
    version: int | None = None,
    fetched: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Fetch a subscription and save it, with its terms, payments and grants. Repeat this after a conflict.

    :param version: of our copy, if the caller has just read it.
    :param fetched: the subscription's state, if the caller has fetched it since.
    :raises ForeignStripeObject: it is for another product, or its customer is not one of our subscribers.
    :raises UnknownPlan: the catalogue no longer has its plan.
    :raises ConcurrentUpdate: our copy kept changing.
    """

    async def attempt() -> Subscription:
        nonlocal version, fetched
        known_version, state, version, fetched = version, fetched, None, None  # the caller's are good for one attempt
        return await fetch_and_save_once(
            sessions, rules, stripe_id, fetch, now=now, version=known_version, fetched=state
        )

    return await retry_on_conflict(attempt, what=f"The subscription {stripe_id}")


async def fetch_and_save_once(
    sessions: Sessions,
    rules: Rules,
    stripe_id: str,
    fetch: Fetch,
    *,
    now: datetime,
    check_duplicates: bool = True,
    version: int | None = None,
    fetched: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Do as :func:`fetch_and_save`, in one attempt.

    :param check_duplicates: False if the caller is syncing all subscriptions of the subscriber.
    :raises ConcurrentUpdate: another process has saved it since the fetch began.
    """
    if version is None:
        async with sessions.begin() as session:
            version = await subscriptions.version(session, stripe_id)
    state = fetched or await fetch()
    async with sessions.begin() as session:
        return await save(session, rules, state, if_version=version, now=now, check_duplicates=check_duplicates)


async def save(
    session: Session,
    rules: Rules,
    fetched: StripeSubscriptionState,
    *,
    if_version: int,
    now: datetime,
    check_duplicates: bool = True,
) -> Subscription:
    """
    Save a fetched state, under the subscriber's lock.

    :raises ConcurrentUpdate: our copy has changed since ``if_version`` was read.
    """
    known = await subscriptions.by_stripe_id(session, fetched.id) if if_version else None
    subscriber = await (subscribers.lock(session, known.subscriber_id) if known else _lock_owner(session, fetched))
    fetched = replace(fetched, known_as=known.plan) if known else fetched
    rules.catalogue.plan(fetched.plan)  # a plan of ours that is missing in the file is an error, and not ignored
    dropped = await _print_dropped(session, known, fetched)
    mismatch = print_drop_missing(fetched, dropped)
    fetched = replace(fetched, print_dropped=tuple(sorted({*fetched.print_dropped, *dropped})))
    previous = unreachable_origin(known.status, fetched.status, known.came_from) if known else None
    is_found_later = known is None and not await _was_followed_from_beginning(session, subscriber, fetched)
    subscription = await subscriptions.save(
        session,
        subscriber.id,
        fetched,
        if_version=if_version,
        came_from=previous,
        followed_since=now if is_found_later else None,
    )
    opened = await subscriptions.save_terms(session, subscription.id, terms_of(fetched, rules.catalogue))
    reader = OutboxReader.of(subscriber.id, subscriber.sub)
    announced = subscription_events(reader, known, subscription, opened, now=now)
    await payments.save(session, subscription.id, payments_of(fetched, rules.catalogue), are_history=is_found_later)
    credited = credits_of(fetched)
    if known is None:  # what happened before we followed it has no consequences
        await credits.save(session, subscription.id, credited)
    elif credited:
        await outbox.add(session, announced)  # before what may follow, such as the end of the subscription
        announced = []
        await credits.record(session, rules, subscription, credited, now=now)
        subscription = await subscriptions.by_id(session, subscription.id) or subscription
    await cancellations.follow(session, subscription, fetched, now=now)
    await _continue_print_changes(session, subscription, fetched)
    all_subscriptions = await subscriptions.of_subscriber(session, subscriber.id)
    if check_duplicates and subscription.is_live and sum(one.is_live for one in all_subscriptions) > 1:
        await inbox.request_refetch(session, f"{RefetchKind.DUPLICATES}:{subscriber.id}", why="double")
    terms = await grants.derive(
        session,
        rules,
        subscriber,
        subscription,
        now=now,
        all_subscriptions=all_subscriptions,
        announced=announced,
    )
    if fetched.shipping is not None and any(term.print_edition for term in terms):
        await addresses.adopt(session, rules, subscriber, [fetched.id], fetched.shipping, now=now)
    status = access_status(subscription, terms, rules.access, now=now)
    if status.check_at != subscription.check_at:
        await subscriptions.set_check(session, subscription.id, status.check_at)
    found = dict(status.anomalies)
    if subscription.status not in OVER:
        found |= anomalies_of_items(fetched, rules.catalogue)
        found |= mismatch
        found |= await _late_print(session, subscription, fetched)
        found |= await _unbilled_print(session, subscription, terms)
    await anomalies.report(
        session,
        subscription.stripe_id,
        found,
        subscriber_id=subscriber.id,
        keep=HISTORY_CODES if subscription.status not in OVER else (),
    )
    if subscription.followed_since is not None:
        await imports.report_history(session, rules, subscription)
    if len(all_subscriptions) > 1:
        await duplicates.report(session, rules, subscriber, all_subscriptions, now=now)
    return subscription


async def _late_print(
    session: Session, subscription: Subscription, fetched: StripeSubscriptionState
) -> Mapping[str, str]:
    """Return the anomaly of printed copies that were charged too late, unless they were refunded."""
    if not print_charged_late(fetched, {}):
        return {}
    given = await refunds.of_subscriber(session, subscription.subscriber_id)
    returned: dict[str, int] = {}
    for payment in await payments.of_subscription(session, subscription.id):
        refunded = sum(one.amount for one in given if one.payment_id == payment.id and one.status in CONFIRMED)
        returned[payment.invoice_id] = returned.get(payment.invoice_id, 0) + payment.credited + refunded
    return print_charged_late(fetched, returned)


async def _print_dropped(
    session: Session, known: Subscription | None, fetched: StripeSubscriptionState
) -> list[datetime]:
    """Return when print was dropped, as our changes say, if it was billed: the metadata at Stripe may be lost."""
    if known is None or not any(line.component == PRINT for one in fetched.invoices for line in one.lines):
        return []
    return await print_changes.dropped(session, known.id)


async def _continue_print_changes(
    session: Session, subscription: Subscription, fetched: StripeSubscriptionState
) -> None:
    """Make the changes of the print edition due whose invoice is decided, or whose print a later payment has paid for."""
    if decided := fetched.decided_print_changes:
        await print_changes.make_due(session, decided)
    for invoice, at in paid_since(fetched):
        await print_changes.make_paid_due(session, subscription.id, invoice.id, at)


async def _unbilled_print(session: Session, subscription: Subscription, terms: Sequence[Term]) -> Mapping[str, str]:
    """Return the anomaly of print that joined after the newest term had been billed without it."""
    if not subscription.print_edition or not terms or terms[-1].print_edition:
        return {}
    latest = await print_changes.latest(session, subscription.id)
    return print_unbilled(latest) if latest is not None and joined_late(latest, terms[-1]) else {}


async def _was_followed_from_beginning(
    session: Session, subscriber: Subscriber, fetched: StripeSubscriptionState
) -> bool:
    """Return whether a subscription that is new to us came from our checkout, or Stripe reported its creation."""
    if await checkouts.sold(session, subscriber.id, stripe_subscription_id=fetched.id, checkout_id=fetched.checkout_id):
        return True
    return await inbox.was_told(
        session,
        f"{RefetchKind.SUBSCRIPTION}:{fetched.id}",
        before=fetched.created_at + CREATION_EVENTS,
        within=DELIVERY_PERIOD,
    )


async def _lock_owner(session: Session, fetched: StripeSubscriptionState) -> Subscriber:
    """
    Lock and return the subscriber of a subscription that is new to us: of its customer, or the one its metadata names.

    A subscription that staff created at Stripe with a new customer is adopted if its metadata names a subscriber without a
    customer. An email address does not prove a person's identity, so it is not used.

    :raises UnknownCustomer: the customer is not one of our subscribers.
    """
    owner = await subscribers.lock_customer(session, fetched.customer_id)
    if owner is None and fetched.subscriber_id is not None:
        named = await subscribers.by_id(session, fetched.subscriber_id)
        if named is not None and named.stripe_customer_id is None:
            await subscribers.set_customer(session, named.id, fetched.customer_id)
            owner = await subscribers.lock_customer(session, fetched.customer_id)
            # The customer may have been deleted in the meantime.
            await inbox.request_refetch(session, f"{RefetchKind.CUSTOMER}:{fetched.customer_id}", why="adopted")
    if owner is None:
        raise UnknownCustomer(f"The customer {fetched.customer_id} is not one of our subscribers")
    return owner


async def _report_foreign(
    session: Session, rules: Rules, fetched: StripeSubscriptionState, refusal: ForeignStripeObject
) -> None:
    """Report a subscription to one of our plans that cannot be saved."""
    if not any(item.plan is not None for item in fetched.items):
        return  # another product
    owner = await subscribers.by_customer(session, fetched.customer_id)
    found = dict(anomalies_of_items(fetched, rules.catalogue))
    if isinstance(refusal, UnknownCustomer):
        found[UNKNOWN_CUSTOMER] = f"{refusal}. The subscription gives no access."
    if fetched.status not in OVER:
        await anomalies.report(session, fetched.id, found, subscriber_id=owner.id if owner else None)
    else:
        await anomalies.report(session, fetched.id, {}, subscriber_id=None)
