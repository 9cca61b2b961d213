"""
Checkout: one Stripe customer and at most one open session for each subscriber.

Each request to Stripe is stored with its idempotency key before it is sent, so two concurrent clicks send the same request
with the same key and get the same session.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from app.aggregates import contacts, current_subscription, possible_duplicates, sync_subscription
from app.context import Context
from app.db import checkouts, entitlements, inbox, intents, subscribers, subscriptions
from app.db.checkouts import COMPLETE, EXPIRED, OPEN, Checkout, Choice
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain import return_urls
from app.domain.callers import Reader
from app.domain.contacts import stripe_fields
from app.domain.entitlements import allowed
from app.domain.errors import Conflict, NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.events import RefetchKind
from app.domain.plans import Plan, PriceUnavailable
from app.domain.subscriptions import AlreadySubscribed, ForeignStripeObject
from app.gateway import checkouts as at_stripe
from app.gateway import customers, prices
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gateway
from app.gateway.translate import OUR_CHECKOUT, OUR_SUBSCRIBER

# Stripe may delete a key after 24 hours. Before an older one is used again, we check whether the request succeeded.
KEY_LIFETIME = timedelta(hours=20)
MAX_ATTEMPTS = 3


class PromotionCodeInvalid(Conflict):
    """The promotion code isn't valid or has expired."""

    code = "promotion_code_invalid"
    title = "Invalid promotion code"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """A reader's choice, and where to send them afterwards."""

    choice: Choice
    success_url: str
    cancel_url: str
    allow_duplicate: bool = False  # although another account of the same person may have a subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutResult:
    """The state of a session, and whether the reader has access now."""

    checkout: Checkout
    entitled: bool


async def start(ctx: Context, request: CheckoutRequest, *, reader: Reader, now: datetime) -> Checkout:
    """
    Open a hosted checkout, or return the open one for the same choice. One for another choice is closed first.

    :raises UnknownPlan: the plan does not exist.
    :raises ReturnUrlNotAllowed: a return URL is not on an allowed host.
    :raises PriceUnavailable: Stripe's price is archived, missing or different from the catalogue's.
    :raises PromotionCodeInvalid: the code isn't valid.
    :raises AlreadySubscribed: the reader has a live subscription.
    :raises PossibleDuplicate: another account with the same verified address has one, and the request doesn't allow it.
    """
    plan = ctx.rules.catalogue.on_sale(request.choice.plan)
    return_urls.check(request.success_url, ctx.settings.allowed_return_hosts, field="success_url")
    return_urls.check(request.cancel_url, ctx.settings.allowed_return_hosts, field="cancel_url")
    price_ids = await _price_ids(ctx.gateway, plan, request.choice)
    promotion = await _promotion(ctx.gateway, request.choice.promotion_code)
    async with ctx.sessions.begin() as session:
        await possible_duplicates.check(session, reader, allow=request.allow_duplicate)
    customer_id, subscriber = await _customer(ctx, reader, now=now)
    metadata = {OUR_SUBSCRIBER: subscriber.id, "newsstand_plan": plan.code}
    automatic_tax = ctx.settings.automatic_tax
    parameters = _parameters(request, metadata, customer_id, price_ids, promotion, automatic_tax=automatic_tax)
    parameters |= _shipping_parameters(plan, request.choice, automatic_tax=automatic_tax)
    for _ in range(MAX_ATTEMPTS):
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, subscriber.id)
            await _check_not_subscribed(session, subscriber)
            checkout = await checkouts.find_open(session, subscriber.id)
            if checkout is not None and _is_reusable(checkout, request.choice, now):
                return checkout
            if checkout is None or checkout.status != OPEN:
                checkout = checkout or await checkouts.start(session, subscriber.id, request.choice)
                own = {**parameters, "metadata": {**metadata, OUR_CHECKOUT: checkout.id}}
                action, intent = "open", await intents.record(session, checkout.id, "open", own)
            else:
                action, intent = "expire", await intents.record(session, checkout.id, "expire", {})
        if action == "open" and checkout.choice == request.choice:
            return await _open(ctx, checkout, intent)
        await _close(ctx, checkout, intent, action=action)
    raise StripeUnavailable("Too many concurrent attempts; try again")


def _is_reusable(checkout: Checkout, choice: Choice, now: datetime) -> bool:
    is_open = checkout.status == OPEN and checkout.expires_at is not None and checkout.expires_at > now
    return is_open and checkout.choice == choice


async def _check_not_subscribed(session: Session, subscriber: Subscriber) -> None:
    current = await current_subscription.find(session, subscriber.id)
    if current is not None and current[0].is_live:
        raise AlreadySubscribed(subscription=current[0].id)


async def _open(ctx: Context, checkout: Checkout, intent: intents.Intent) -> Checkout:
    try:
        state = await at_stripe.create(ctx.gateway, intent.parameters, key=intent.key)
    except StripeRefused:
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, checkout.subscriber_id)
            await intents.settle(session, intent.key)
            await checkouts.give_up(session, checkout.id)
        raise
    except StripeFault:
        # The same key would get the same response. Another key is used next time if the request had no effect.
        found = await at_stripe.find(ctx.gateway, str(intent.parameters["customer"]), checkout_id=checkout.id)
        if found is None:
            async with ctx.sessions.begin() as session:
                await intents.settle(session, intent.key)
            raise
        state = found
    return await _save(ctx, checkout, state, settle=intent.key)


async def _close(ctx: Context, checkout: Checkout, intent: intents.Intent, *, action: str) -> None:
    """
    Close a session that was opened for another choice.

    :raises AlreadySubscribed: it was paid in the meantime.
    """
    if action == "open":  # another request began to open it and may have stopped: open it, so that it can be closed
        await _open(ctx, checkout, intent)
        return
    assert checkout.stripe_id is not None
    with suppress(StripeRefused, StripeFault):  # the session is fetched next
        await at_stripe.expire(ctx.gateway, checkout.stripe_id, key=intent.key)
    state = await at_stripe.fetch(ctx.gateway, checkout.stripe_id)
    await _save(ctx, checkout, state, settle=intent.key)
    if state.status == COMPLETE:
        raise AlreadySubscribed("You have just paid in another window")


async def _save(
    ctx: Context, checkout: Checkout, state: at_stripe.StripeCheckoutState, *, settle: str | None = None
) -> Checkout:
    """
    Save the state of a session, and request a refetch of its subscription.

    Under the subscriber's lock, so that a concurrent click sees both the open session and its settled intent, or neither.
    """
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, checkout.subscriber_id)
        if settle is not None:
            await intents.settle(session, settle)
        saved = await checkouts.save(
            session,
            checkout.id,
            stripe_id=state.id,
            status=state.status,
            payment_status=state.payment_status,
            url=state.url,
            expires_at=state.expires_at,
            stripe_subscription_id=state.stripe_subscription_id,
        )
        subscription_id = state.stripe_subscription_id
        if subscription_id is not None and await subscriptions.by_stripe_id(session, subscription_id) is None:
            await inbox.request_refetch(session, f"{RefetchKind.SUBSCRIPTION}:{subscription_id}", why="checkout")
            await leases.notify(session)
    return saved


async def _price_ids(gateway: Gateway, plan: Plan, choice: Choice) -> list[str]:
    """
    Return the IDs of Stripe's prices for a choice.

    :raises PriceUnavailable: one is archived, missing or different from the catalogue's.
    """
    components = plan.components(print_edition=choice.print_edition)
    found = await prices.purchasable(gateway, [price.lookup_key for price in components])
    ids = []
    for price in components:
        at_stripe_now = found.get(price.lookup_key)
        if at_stripe_now is None:
            raise PriceUnavailable(f"Stripe has no active price {price.lookup_key}; push the catalogue", plan=plan.code)
        if (at_stripe_now.amount, at_stripe_now.currency) != (price.price.amount, price.price.currency):
            raise PriceUnavailable(f"Stripe's price {price.lookup_key} differs from the catalogue's", plan=plan.code)
        ids.append(at_stripe_now.id)
    return ids


async def _promotion(gateway: Gateway, code: str | None) -> str | None:
    if code is None:
        return None
    found = await at_stripe.promotion_code(gateway, code)
    if found is None:
        raise PromotionCodeInvalid(f"The code {code!r} isn't valid or has expired", promotion_code=code)
    return found


async def _customer(ctx: Context, reader: Reader, *, now: datetime) -> tuple[str, Subscriber]:
    """Return the Stripe customer of a reader, created if necessary, and the subscriber."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.ensure(session, sub=reader.sub, email=reader.email, name=reader.name)
        if await contacts.update(session, subscriber, reader):
            subscriber = await subscribers.lock(session, subscriber.id)
        if subscriber.stripe_customer_id is not None:
            return subscriber.stripe_customer_id, subscriber
        parameters: dict[str, object] = {
            "metadata": {OUR_SUBSCRIBER: subscriber.id},
            **stripe_fields(subscriber.email, subscriber.name),
        }
        if ctx.gateway.test_clock:
            parameters["test_clock"] = ctx.gateway.test_clock
        intent = await intents.record(session, subscriber.id, "customer", parameters)
    customer_id = None
    if now - intent.created_at > KEY_LIFETIME:
        customer_id = await _find_customer(ctx, subscriber, intent)
    if customer_id is None:
        customer_id = await _create_customer(ctx, subscriber, intent)
    async with ctx.sessions.begin() as session:
        current = await subscribers.lock(session, subscriber.id)
        saved_id = await subscribers.set_customer(session, subscriber.id, customer_id)
        await intents.settle(session, intent.key)
        if any(
            intent.parameters.get(name) != said for name, said in stripe_fields(current.email, current.name).items()
        ):
            await contacts.push_again(session, subscriber.id)  # it has changed since the intent was stored
    return saved_id, subscriber


async def _create_customer(ctx: Context, subscriber: Subscriber, intent: intents.Intent) -> str:
    try:
        return await customers.create(ctx.gateway, intent.parameters, key=intent.key)
    except (StripeFault, StripeRefused):
        # The same key would get the same fault. A refusal may be due to the reader's current name or address.
        found = await _find_customer(ctx, subscriber, intent)
        if found is None:
            async with ctx.sessions.begin() as session:
                await intents.settle(session, intent.key)
            raise
        return found


async def _find_customer(ctx: Context, subscriber: Subscriber, intent: intents.Intent) -> str | None:
    email = intent.parameters.get("email")
    return await customers.find(ctx.gateway, email=str(email) if email else None, subscriber_id=subscriber.id)


def _parameters(
    request: CheckoutRequest,
    metadata: dict[str, str],
    customer_id: str,
    price_ids: list[str],
    promotion: str | None,
    *,
    automatic_tax: bool,
) -> dict[str, object]:
    """Return the parameters of a session. The subscription needs its own metadata, because Stripe copies none."""
    parameters: dict[str, object] = {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": metadata[OUR_SUBSCRIBER],
        "line_items": [{"price": price_id, "quantity": 1} for price_id in price_ids],
        "success_url": request.success_url,
        "cancel_url": request.cancel_url,
        "metadata": metadata,
        "subscription_data": {"metadata": metadata},
    }
    if automatic_tax:
        parameters["automatic_tax"] = {"enabled": True}
        parameters["customer_update"] = {"address": "auto"}
    if promotion is not None:
        parameters["discounts"] = [{"promotion_code": promotion}]
    return parameters


def _shipping_parameters(plan: Plan, choice: Choice, *, automatic_tax: bool) -> dict[str, object]:
    components = plan.components(print_edition=choice.print_edition)
    countries = [country for price in components for country in price.ships_to]
    if not countries:
        return {}
    return {
        "shipping_address_collection": {"allowed_countries": countries},
        "customer_update": {"shipping": "auto"} | ({"address": "auto"} if automatic_tax else {}),
    }


async def result(ctx: Context, stripe_id: str, *, sub: str, now: datetime) -> CheckoutResult:
    """
    Return the result of a reader's checkout session, fetched from Stripe: the reader may return before the webhook arrives.

    :raises NotFound: the session does not exist, or it is another reader's.
    """
    new_subscription = await _sync_own(ctx, stripe_id, sub=sub)
    if new_subscription is not None:
        fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, new_subscription)
        await sync_subscription.sync(ctx.sessions, ctx.rules, new_subscription, fetch, now=now)
    async with ctx.sessions.begin() as session:
        checkout = await _find_own(session, stripe_id, sub)
    access, _ = await entitlements.read(ctx.pool, sub)
    return CheckoutResult(checkout=checkout, entitled=bool(allowed(access, ctx.rules.catalogue, now=now)))


async def _sync_own(ctx: Context, stripe_id: str, *, sub: str) -> str | None:
    """Sync a reader's session, unless it is final. Return its subscription if we don't have it yet."""
    async with ctx.sessions.begin() as session:
        checkout = await _find_own(session, stripe_id, sub)
    if checkout.status not in {COMPLETE, EXPIRED}:
        try:
            checkout = await _save(ctx, checkout, await at_stripe.fetch(ctx.gateway, stripe_id))
        except StripeUnavailable:
            return None  # then the last known state is shown
    subscription_id = checkout.stripe_subscription_id
    if subscription_id is None:
        return None
    async with ctx.sessions.begin() as session:
        return subscription_id if await subscriptions.by_stripe_id(session, subscription_id) is None else None


async def _find_own(session: Session, stripe_id: str, sub: str) -> Checkout:
    checkout = await checkouts.by_stripe_id(session, stripe_id)
    subscriber = await subscribers.by_sub(session, sub)
    if checkout is None or subscriber is None or checkout.subscriber_id != subscriber.id:
        raise NotFound("No such checkout session")
    return checkout


async def sync(ctx: Context, stripe_id: str) -> None:
    """
    Bring our copy of a session up to date with Stripe's.

    :raises ForeignStripeObject: it is not one of ours.
    """
    async with ctx.sessions.begin() as session:
        checkout = await checkouts.by_stripe_id(session, stripe_id)
    if checkout is None:
        raise ForeignStripeObject(f"The checkout session {stripe_id} is not one of ours")
    await _save(ctx, checkout, await at_stripe.fetch(ctx.gateway, stripe_id))
