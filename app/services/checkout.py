"""
Checkout: one customer for each subscriber, one open session for each subscriber, whatever the clicks.

What Stripe is asked for is recorded, with its key, before it is asked; two clicks at once ask the same thing with the same
key and get the same session.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.context import Context
from app.db import checkouts, entitlements, inbox, intents, subscribers, subscriptions
from app.db.checkouts import COMPLETE, EXPIRED, OPEN, Checkout, Choice
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain import entitlements as rules_of_access
from app.domain import return_urls
from app.domain.errors import Conflict, NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.plans import Plan, PriceUnavailable
from app.domain.subscriptions import AlreadySubscribed, ForeignStripeObject
from app.gateway import checkouts as at_stripe
from app.gateway import customers, prices
from app.gateway.client import Gateway
from app.gateway.translate import OUR_CHECKOUT, OUR_SUBSCRIBER

# Stripe may forget a key after 24 hours; before repeating one that old, we look whether it took effect.
KEY_LIFE = timedelta(hours=20)
LONGEST_NAME = 256  # Stripe's limit for a customer's name


class PromotionCodeInvalid(Conflict):
    """The promotion code isn't valid or has expired."""

    code = "promotion_code_invalid"
    title = "Invalid promotion code"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """What a reader chose, and where to send them afterwards."""

    choice: Choice
    success_url: str
    cancel_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who is buying, as the identity provider knows them."""

    sub: str
    email: str | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a session."""

    checkout: Checkout
    entitled: bool


async def start(ctx: Context, request: CheckoutRequest, *, reader: Reader, now: datetime) -> Checkout:
    """
    Open a hosted checkout, or return the one that is open for the same choice. Another choice closes it first.

    :raises UnknownPlan: there is no such plan.
    :raises ReturnUrlNotAllowed: a return address leads elsewhere.
    :raises PriceUnavailable: Stripe's price is archived, missing, or not the catalogue's.
    :raises PromotionCodeInvalid: the code is none.
    :raises AlreadySubscribed: the reader has a live subscription.
    """
    plan = ctx.rules.catalogue.on_sale(request.choice.plan)
    return_urls.check(request.success_url, ctx.settings.allowed_return_hosts, field="success_url")
    return_urls.check(request.cancel_url, ctx.settings.allowed_return_hosts, field="cancel_url")
    components = plan.components(print_edition=request.choice.print_edition)
    price_ids = await _price_ids(ctx.gateway, plan, request.choice)
    promotion = await _promotion(ctx.gateway, request.choice.promotion_code)
    customer_id, subscriber = await _customer(ctx, reader, now=now)
    metadata = {OUR_SUBSCRIBER: subscriber.id, "newsstand_plan": plan.code}
    parameters = _parameters(request, metadata, customer_id, price_ids, promotion, ctx.settings.automatic_tax)
    ships_to = [country for price in components for country in price.ships_to]
    if ships_to:
        parameters["shipping_address_collection"] = {"allowed_countries": ships_to}
        parameters["customer_update"] = {"shipping": "auto"} | (
            {"address": "auto"} if ctx.settings.automatic_tax else {}
        )
    for _ in range(3):
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, subscriber.id)
            await _refuse_if_subscribed(session, subscriber)
            held = await checkouts.undecided(session, subscriber.id)
            if held is not None and _still_good(held, request.choice, now):
                return held
            if held is None or held.status != OPEN:
                held = held or await checkouts.start(session, subscriber.id, request.choice)
                asked = {**parameters, "metadata": {**metadata, OUR_CHECKOUT: held.id}}
                action, intent = "open", await intents.record(session, held.id, "open", asked)
            else:
                action, intent = "expire", await intents.record(session, held.id, "expire", {})
        if action == "open" and held.choice == request.choice:
            return await _open(ctx, held, intent)
        await _close(ctx, held, intent, action=action)
    raise StripeUnavailable("other clicks of the same reader kept coming between")


def _still_good(held: Checkout, choice: Choice, now: datetime) -> bool:
    return held.status == OPEN and held.choice == choice and held.expires_at is not None and held.expires_at > now


async def _refuse_if_subscribed(session: Session, subscriber: Subscriber) -> None:
    current = await subscriptions.current(session, subscriber.id)
    if current is not None and current.is_live:
        raise AlreadySubscribed(subscription=current.id)


async def _open(ctx: Context, held: Checkout, intent: intents.Intent) -> Checkout:
    try:
        seen = await at_stripe.create(ctx.gateway, intent.parameters, key=intent.key)
    except StripeRefused:
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, held.subscriber_id)
            await intents.settle(session, intent.key)
            await checkouts.give_up(session, held.id)
        raise
    except StripeFault:
        # The same key would be answered with the same fault: look whether it took effect, else use another next time.
        found = await at_stripe.find(ctx.gateway, str(intent.parameters["customer"]), checkout_id=held.id)
        if found is None:
            async with ctx.sessions.begin() as session:
                await intents.settle(session, intent.key)
            raise
        seen = found
    return await _keep(ctx, held, seen, settle=intent.key)


async def _close(ctx: Context, held: Checkout, intent: intents.Intent, *, action: str) -> None:
    """Close what was opened for another choice; if it was paid meanwhile, that is what counts."""
    if action == "open":  # somebody began to open it and may not have finished: finish, so that it can be closed
        await _open(ctx, held, intent)
        return
    assert held.stripe_id is not None
    with suppress(StripeRefused, StripeFault):  # what became of it is looked at next
        await at_stripe.expire(ctx.gateway, held.stripe_id, key=intent.key)
    seen = await at_stripe.fetch(ctx.gateway, held.stripe_id)
    await _keep(ctx, held, seen, settle=intent.key)
    if seen.status == COMPLETE:
        raise AlreadySubscribed("the reader has just paid in another window")


async def _keep(
    ctx: Context, held: Checkout, seen: at_stripe.StripeCheckoutState, *, settle: str | None = None
) -> Checkout:
    """
    Save what Stripe said, and have the subscription looked at that came of it.

    Under the subscriber's lock: a click that waits for it sees the session opened and its intent settled, or neither.
    """
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, held.subscriber_id)
        if settle is not None:
            await intents.settle(session, settle)
        saved = await checkouts.save(
            session,
            held.id,
            stripe_id=seen.id,
            status=seen.status,
            payment_status=seen.payment_status,
            url=seen.url,
            expires_at=seen.expires_at,
            stripe_subscription_id=seen.stripe_subscription_id,
        )
        bought = seen.stripe_subscription_id
        if bought is not None and await subscriptions.by_stripe_id(session, bought) is None:
            await inbox.request_refetch(session, f"subscription:{bought}", why="checkout")
            await leases.notify(session)
    return saved


async def _price_ids(gateway: Gateway, plan: Plan, choice: Choice) -> list[str]:
    """Return Stripe's prices for what was chosen; each must be on sale, and cost what the reader was shown."""
    wanted = plan.components(print_edition=choice.print_edition)
    found = await prices.purchasable(gateway, [price.lookup_key for price in wanted])
    ids = []
    for price in wanted:
        held = found.get(price.lookup_key)
        if held is None:
            raise PriceUnavailable(
                f"{price.lookup_key} is not on sale at Stripe; the publisher has to push the catalogue", plan=plan.code
            )
        if (held.amount, held.currency) != (price.price.amount, price.price.currency):
            raise PriceUnavailable(
                f"{price.lookup_key} costs something else at Stripe than in the catalogue", plan=plan.code
            )
        ids.append(held.id)
    return ids


async def _promotion(gateway: Gateway, code: str | None) -> str | None:
    if code is None:
        return None
    found = await at_stripe.promotion_code(gateway, code)
    if found is None:
        raise PromotionCodeInvalid(f"{code!r} is not a promotion code that can be used", promotion_code=code)
    return found


async def _customer(ctx: Context, reader: Reader, *, now: datetime) -> tuple[str, Subscriber]:
    """Return the one customer of a reader, made if absent: claimed by a recorded intent before Stripe is asked."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.ensure(session, sub=reader.sub, email=reader.email, name=reader.name)
        if subscriber.stripe_customer_id is not None:
            return subscriber.stripe_customer_id, subscriber
        parameters: dict[str, object] = {"metadata": {OUR_SUBSCRIBER: subscriber.id}}
        known = {
            "email": reader.email,
            "name": reader.name and reader.name[:LONGEST_NAME],
            "test_clock": ctx.gateway.test_clock,
        }
        parameters |= {name: value for name, value in known.items() if value}
        intent = await intents.record(session, subscriber.id, "customer", parameters)
    made = None
    if now - intent.created_at > KEY_LIFE:
        email = intent.parameters.get("email")
        made = await customers.find(ctx.gateway, email=str(email) if email else None, subscriber_id=subscriber.id)
    if made is None:
        made = await _create_customer(ctx, subscriber, intent)
    async with ctx.sessions.begin() as session:
        customer_id = await subscribers.set_customer(session, subscriber.id, made)
        await intents.settle(session, intent.key)
    return customer_id, subscriber


async def _create_customer(ctx: Context, subscriber: Subscriber, intent: intents.Intent) -> str:
    try:
        return await customers.create(ctx.gateway, intent.parameters, key=intent.key)
    except (StripeFault, StripeRefused):
        # A fault would be repeated under the same key; a refusal is of what the reader is called now, not for ever.
        email = intent.parameters.get("email")
        found = await customers.find(ctx.gateway, email=str(email) if email else None, subscriber_id=subscriber.id)
        if found is None:
            async with ctx.sessions.begin() as session:
                await intents.settle(session, intent.key)
            raise
        return found


def _parameters(
    request: CheckoutRequest,
    metadata: dict[str, str],
    customer_id: str,
    price_ids: list[str],
    promotion: str | None,
    automatic_tax: bool,
) -> dict[str, object]:
    """Return what Stripe is asked for. Metadata stands on the session and on the subscription: Stripe copies none."""
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


async def look(ctx: Context, stripe_id: str, *, sub: str) -> str | None:
    """
    Ask Stripe what came of a reader's session, unless we know already.

    :returns: the subscription to look at, when it is not here yet.
    :raises NotFound: there is no such session, or it is another reader's.
    """
    async with ctx.sessions.begin() as session:
        held = await _owned(session, stripe_id, sub)
    if held.status not in {COMPLETE, EXPIRED}:
        try:
            held = await _keep(ctx, held, await at_stripe.fetch(ctx.gateway, stripe_id))
        except StripeUnavailable:
            return None  # then we tell what we know
    bought = held.stripe_subscription_id
    if bought is None:
        return None
    async with ctx.sessions.begin() as session:
        return bought if await subscriptions.by_stripe_id(session, bought) is None else None


async def outcome(ctx: Context, stripe_id: str, *, sub: str, now: datetime) -> Outcome:
    """Return what came of a reader's session, and whether they may read now."""
    async with ctx.sessions.begin() as session:
        held = await _owned(session, stripe_id, sub)
    access, _ = await entitlements.read(ctx.pool, sub)
    return Outcome(checkout=held, entitled=bool(rules_of_access.allowed(access, ctx.rules.catalogue, now=now)))


async def _owned(session: Session, stripe_id: str, sub: str) -> Checkout:
    held = await checkouts.by_stripe_id(session, stripe_id)
    subscriber = await subscribers.by_sub(session, sub)
    if held is None or subscriber is None or held.subscriber_id != subscriber.id:
        raise NotFound("there is no such checkout session")
    return held


async def refresh(ctx: Context, stripe_id: str) -> None:
    """Follow what became of a session, when Stripe says that something did."""
    async with ctx.sessions.begin() as session:
        held = await checkouts.by_stripe_id(session, stripe_id)
    if held is None:
        raise ForeignStripeObject(f"the checkout session {stripe_id} is none of ours")
    await _keep(ctx, held, await at_stripe.fetch(ctx.gateway, stripe_id))
