"""
Checkout: one Stripe customer and at most one open session for each subscriber.

Each request to Stripe is stored with its idempotency key before it is sent, so two concurrent clicks send the same request
with the same key and get the same session.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from app.aggregates import addresses, customers, lapsed_subscriptions, possible_duplicates, sync_subscription
from app.aggregates.intents import send
from app.context import Context
from app.db import checkouts, consents, entitlements, inbox, intents, refunds, subscribers, subscriptions
from app.db.checkouts import COMPLETE, EXPIRED, OPEN, Checkout, Choice
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.db.subscribers import Subscriber
from app.domain import return_urls
from app.domain.callers import Reader
from app.domain.consents import Consent, ConsentDetails, digest_of, offer_shown
from app.domain.entitlements import allowed
from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.events import RefetchKind
from app.domain.money import Money
from app.domain.plans import DIGITAL, CurrencyInUse, Plan, PriceUnavailable
from app.domain.promotion_codes import PromotionCodeInvalid, PromotionRefusal, StripePromotionCode
from app.domain.refunds import is_guaranteed
from app.domain.subscriptions import AlreadySubscribed, ForeignStripeObject
from app.gateway import checkouts as at_stripe
from app.gateway import prices
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gateway, Gone
from app.gateway.translate import OUR_CHECKOUT, OUR_SUBSCRIBER

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """A reader's choice, and where to send them afterwards."""

    choice: Choice
    success_url: str
    cancel_url: str
    allow_duplicate: bool = False  # although another account of the same person may have a subscription
    own_url: str | None = None  # a page of this service, if that is where the reader returns to
    consent: ConsentDetails = field(default_factory=ConsentDetails)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutResult:
    """The state of a session, and whether the reader has access now."""

    checkout: Checkout
    entitled: bool


async def start(ctx: Context, request: CheckoutRequest, *, reader: Reader, now: datetime) -> Checkout:
    """
    Open a hosted checkout, or return the open one for the same choice. One for another choice is closed first.

    :raises UnknownPlan: the plan does not exist.
    :raises ConsentInvalid: what is said about the consent is wrong.
    :raises ReturnUrlNotAllowed: a return URL is not on an allowed host.
    :raises PriceUnavailable: Stripe's price is archived, missing or different from the catalogue's.
    :raises PromotionCodeInvalid: the code isn't valid, or not for this order or reader.
    :raises AlreadySubscribed: the reader has access through a subscription, or a payment of one is on its way.
    :raises PossibleDuplicate: another account with the same verified address has one, and the request doesn't allow it.
    """
    plan = ctx.rules.catalogue.on_sale(request.choice.plan)
    hosts, own_url = ctx.settings.allowed_return_hosts, request.own_url
    return_urls.check(request.success_url, hosts, field="success_url", own_url=own_url)
    return_urls.check(request.cancel_url, hosts, field="cancel_url", own_url=own_url)
    consent = request.consent.checked()
    price_ids = await _price_ids(ctx.gateway, plan, request.choice)
    promotion = await _promotion(ctx.gateway, request.choice.promotion_code)
    async with ctx.sessions.begin() as session:
        await possible_duplicates.check(session, ctx.rules, reader, allow=request.allow_duplicate, now=now)
    order = _Order(plan=plan, price_ids=price_ids, promotion=promotion, request=request)
    for _ in range(MAX_ATTEMPTS):
        customer_id, subscriber = await customers.ensure(ctx.sessions, ctx.gateway, reader, now=now)
        await _fetch_lapsed(ctx, subscriber, now=now)
        try:
            opened = await _open_for(ctx, order, subscriber, customer_id, now=now)
            await _save_consent(ctx, order, opened, consent, now=now)
            return opened
        except Gone:  # the customer was deleted at Stripe, and the event has not arrived yet
            if not await customers.remove_if_deleted(ctx.sessions, ctx.gateway, customer_id):
                raise
    raise StripeUnavailable("Too many concurrent attempts; try again")


async def _save_consent(
    ctx: Context, order: "_Order", opened: Checkout, details: ConsentDetails, *, now: datetime
) -> None:
    """Store what the reader was shown, before they get the link to the payment page."""
    choice = order.request.choice
    async with ctx.sessions.begin() as session:
        made = await refunds.of_subscriber(session, opened.subscriber_id)
        shown = offer_shown(
            order.plan,
            publisher=ctx.catalogue.publisher,
            print_edition=choice.print_edition,
            promotion_code=choice.promotion_code,
            guaranteed=is_guaranteed(order.plan, made, on=now.astimezone(ctx.rules.zone).date()),
            wording=ctx.localization,
        )
        consent = Consent(
            id=new_id("cns"),
            checkout_id=opened.id,
            subscriber_id=opened.subscriber_id,
            agreed_at=now,
            shown=shown,
            digest=digest_of(shown, details),
            details=details,
        )
        await consents.save(session, consent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What a reader chose, with Stripe's prices and promotion code for it."""

    plan: Plan
    price_ids: Sequence[str]
    promotion: StripePromotionCode | None
    request: CheckoutRequest

    @property
    def total(self) -> Money:
        """The price before discounts and tax."""
        found = [price.price for price in self.plan.components(print_edition=self.request.choice.print_edition)]
        return Money(sum(one.amount for one in found), found[0].currency)


async def _fetch_lapsed(ctx: Context, subscriber: Subscriber, *, now: datetime) -> None:
    """Sync the subscriptions that the checkout would end: their renewal may have just been paid."""
    async with ctx.sessions.begin() as session:
        running = await lapsed_subscriptions.find_running(session, ctx.rules, subscriber.id, now=now)
        ends = await lapsed_subscriptions.to_be_ended(session, subscriber.id) if running is None else []
    for one in ends:
        fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, one.stripe_id)
        with suppress(ForeignStripeObject, Gone):  # then nothing is paid for it
            await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, one.stripe_id, fetch, now=now)


async def _open_for(
    ctx: Context, order: _Order, subscriber: Subscriber, customer_id: str, *, now: datetime
) -> Checkout:
    """
    Open a session for a customer, or return the open one for the same choice.

    :raises Gone: the customer does not exist.
    """
    request = order.request
    metadata = {OUR_SUBSCRIBER: subscriber.id, "newsstand_plan": order.plan.code}
    automatic_tax = ctx.settings.automatic_tax
    parameters = _parameters(order, metadata, customer_id, automatic_tax=automatic_tax)
    parameters |= _shipping_parameters(order.plan, request.choice, automatic_tax=automatic_tax)
    for _ in range(MAX_ATTEMPTS):
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, subscriber.id)
            await lapsed_subscriptions.end_all(session, ctx.rules, subscriber, now=now)
            checkout = await checkouts.find_open(session, subscriber.id)
            if checkout is not None and _is_reusable(checkout, request.choice, now):
                return checkout
            if checkout is None or checkout.status != OPEN:
                checkout = checkout or await checkouts.start(session, subscriber.id, request.choice)
                marked = {**metadata, OUR_CHECKOUT: checkout.id}  # Stripe copies no metadata to the subscription
                own = {**parameters, "metadata": marked, "subscription_data": {"metadata": marked}}
                action, intent = "open", await intents.record(session, checkout.id, "open", own)
            else:
                action, intent = "expire", await intents.record(session, checkout.id, "expire", {})
        if action == "open" and checkout.choice == request.choice:
            try:
                return await _open(ctx, checkout, intent, now=now)
            except StripeRefused as refusal:
                raise _reader_refusal(refusal, order, customer_id) from refusal
        await _close(ctx, checkout, intent, action=action, now=now)
    raise StripeUnavailable("Too many concurrent attempts; try again")


def _reader_refusal(
    refusal: StripeRefused, order: _Order, customer_id: str
) -> StripeRefused | PromotionCodeInvalid | CurrencyInUse:
    """Return the error for the reader. Stripe's own sentence about a promotion code or a currency is not shown."""
    param, code = str(refusal.facts.get("param") or ""), order.request.choice.promotion_code
    if param == "currency":
        return CurrencyInUse(currency=order.plan.prices[DIGITAL].price.currency)
    if order.promotion is None or code is None or not param.startswith(("discounts", "promotion_code")):
        return refusal
    stripe_code = refusal.facts.get("stripe_code")
    reason = order.promotion.refusal(
        order.total, customer_id=customer_id, stripe_code=stripe_code if isinstance(stripe_code, str) else None
    )
    return PromotionCodeInvalid(code, reason)


def _is_reusable(checkout: Checkout, choice: Choice, now: datetime) -> bool:
    is_open = checkout.status == OPEN and checkout.expires_at is not None and checkout.expires_at > now
    return is_open and checkout.choice == choice


async def _open(ctx: Context, checkout: Checkout, intent: intents.Intent, *, now: datetime) -> Checkout:
    async def find() -> at_stripe.StripeCheckoutState | None:
        return await at_stripe.find(ctx.gateway, str(intent.parameters["customer"]), checkout_id=checkout.id)

    async def give_up(session: Session, _refusal: StripeRefused | Gone) -> None:
        await subscribers.lock(session, checkout.subscriber_id)
        await checkouts.give_up(session, checkout.id)

    request = at_stripe.create(ctx.gateway, intent.parameters, key=intent.key)
    state = await send(ctx.sessions, intent, request, find=find, on_refusal=give_up)
    return await _save(ctx, checkout, state, settle=intent.key, now=now)


async def _close(ctx: Context, checkout: Checkout, intent: intents.Intent, *, action: str, now: datetime) -> None:
    """
    Close a session that was opened for another choice.

    :raises AlreadySubscribed: it was paid in the meantime.
    :raises Gone: its customer does not exist.
    """
    if action == "open":  # another request began to open it and may have stopped: open it, so that it can be closed
        with suppress(StripeRefused):  # it can't be opened, so there is nothing to close
            await _open(ctx, checkout, intent, now=now)
        return
    assert checkout.stripe_id is not None
    with suppress(StripeRefused, StripeFault, Gone):  # the session is fetched next
        await at_stripe.expire(ctx.gateway, checkout.stripe_id, key=intent.key)
    state = await at_stripe.fetch(ctx.gateway, checkout.stripe_id)
    await _save(ctx, checkout, state, settle=intent.key, now=now)
    if state.status == COMPLETE:
        raise AlreadySubscribed("You have just paid in another window")


async def _save(
    ctx: Context,
    checkout: Checkout,
    state: at_stripe.StripeCheckoutState,
    *,
    settle: str | None = None,
    now: datetime,
) -> Checkout:
    """
    Save the state of a session with the address that it collected, and request a refetch of its subscription.

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
        if state.status == COMPLETE and state.shipping is not None:
            await addresses.save_from_checkout(
                session, ctx.rules, checkout, state.shipping, created_at=state.created_at, now=now
            )
        subscription_id = state.stripe_subscription_id
        if subscription_id is not None and await subscriptions.by_stripe_id(session, subscription_id) is None:
            await inbox.request_refetch(session, f"{RefetchKind.SUBSCRIPTION}:{subscription_id}", why="checkout")
            await leases.notify(session, "events")
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


async def _promotion(gateway: Gateway, code: str | None) -> StripePromotionCode | None:
    if code is None:
        return None
    found = await at_stripe.promotion_code(gateway, code)
    if found is None:
        raise PromotionCodeInvalid(code, PromotionRefusal.NOT_FOUND)
    return found


def _parameters(order: _Order, metadata: dict[str, str], customer_id: str, *, automatic_tax: bool) -> dict[str, object]:
    """Return the parameters of a session. The subscription needs its own metadata, because Stripe copies none."""
    parameters: dict[str, object] = {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": metadata[OUR_SUBSCRIBER],
        "line_items": [{"price": price_id, "quantity": 1} for price_id in order.price_ids],
        "success_url": order.request.success_url,
        "cancel_url": order.request.cancel_url,
        "metadata": metadata,
        "subscription_data": {"metadata": metadata},
    }
    if automatic_tax:
        parameters["automatic_tax"] = {"enabled": True}
        parameters["customer_update"] = {"address": "auto"}
    if order.promotion is not None:
        parameters["discounts"] = [{"promotion_code": order.promotion.id}]
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
    new_subscription = await _sync_own(ctx, stripe_id, sub=sub, now=now)
    if new_subscription is not None:
        fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, new_subscription)
        await sync_subscription.sync(ctx.sessions, ctx.rules, new_subscription, fetch, now=now)
    async with ctx.sessions.begin() as session:
        checkout = await _find_own(session, stripe_id, sub)
    access, _ = await entitlements.read(ctx.reads, sub)
    return CheckoutResult(checkout=checkout, entitled=bool(allowed(access, ctx.rules.catalogue, now=now)))


async def _sync_own(ctx: Context, stripe_id: str, *, sub: str, now: datetime) -> str | None:
    """Sync a reader's session, unless it is final. Return its subscription if we don't have it yet."""
    async with ctx.sessions.begin() as session:
        checkout = await _find_own(session, stripe_id, sub)
    if checkout.status not in {COMPLETE, EXPIRED}:
        try:
            checkout = await _save(ctx, checkout, await at_stripe.fetch(ctx.gateway, stripe_id), now=now)
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


async def sync(ctx: Context, stripe_id: str, *, now: datetime) -> None:
    """
    Bring our copy of a session up to date with Stripe's.

    :raises ForeignStripeObject: it is not one of ours.
    """
    async with ctx.sessions.begin() as session:
        checkout = await checkouts.by_stripe_id(session, stripe_id)
    if checkout is None:
        raise ForeignStripeObject(f"The checkout session {stripe_id} is not one of ours")
    await _save(ctx, checkout, await at_stripe.fetch(ctx.gateway, stripe_id), now=now)
