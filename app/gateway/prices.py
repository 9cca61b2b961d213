"""
Products and prices at Stripe.

A price must not be created twice, so the idempotency key of that POST is derived from its parameters and from the previous
state. A repeat after a lost response gets the first price; the same parameters at a later time, from another state, have
another key. Updates can be repeated without harm, so their keys are random and only cover the SDK's own retries. A derived
key would return an outdated response when a value is changed back.
"""

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence

import stripe
from stripe.params import PriceCreateParams, PriceListParams

from app.domain.errors import StripeRefused
from app.domain.prices import CreatePrice, StripePrice, StripeProduct, plan_and_component
from app.gateway.client import Gateway, Gone

LOOKUP_KEYS_A_CALL = 10  # Stripe's limit
PLAN, COMPONENT, VERSION = "newsstand_plan", "newsstand_component", "newsstand_version"


async def purchasable(gateway: Gateway, lookup_keys: Sequence[str]) -> dict[str, StripePrice]:
    """Return the active prices by lookup key. A missing price can't be bought."""
    return {price.lookup_key: price for price in await holders(gateway, lookup_keys, active=True) if price.lookup_key}


async def holders(gateway: Gateway, lookup_keys: Sequence[str], *, active: bool) -> list[StripePrice]:
    """Return the active or the archived prices with these lookup keys."""
    found: list[StripePrice] = []
    for start in range(0, len(lookup_keys), LOOKUP_KEYS_A_CALL):
        some = list(lookup_keys[start : start + LOOKUP_KEYS_A_CALL])
        found += [price async for price in _listed(gateway, {"lookup_keys": some, "active": active})]
    return found


async def of_product(gateway: Gateway, product_id: str) -> list[StripePrice]:
    """Return all prices of a product. Active and archived ones are listed apart, as Stripe's reference requires."""
    return [
        price for active in (True, False) async for price in _listed(gateway, {"product": product_id, "active": active})
    ]


async def product(gateway: Gateway, product_id: str) -> StripeProduct | None:
    """Return the product with an ID, or None."""
    try:
        found = await gateway.call(gateway.sdk.v1.products.retrieve_async(product_id))
    except Gone:
        return None
    return None if getattr(found, "deleted", False) else _product(found)


async def create_product(gateway: Gateway, wanted: StripeProduct) -> None:
    """Create a product with a given ID, unless it exists."""
    try:
        await gateway.call(
            gateway.sdk.v1.products.create_async(
                {
                    "id": wanted.id,
                    "name": wanted.name,
                    "tax_code": wanted.tax_code or "",
                    "active": wanted.active,
                    "metadata": _owner_metadata(wanted.id),
                },
                {"idempotency_key": _random_key(wanted.id)},
            )
        )
    except StripeRefused as refused:
        if refused.facts.get("stripe_code") != "resource_already_exists":
            raise


async def update_product(gateway: Gateway, wanted: StripeProduct) -> None:
    """Update the name, tax code and metadata of a product, and activate it."""
    await gateway.call(
        gateway.sdk.v1.products.update_async(
            wanted.id,
            {
                "name": wanted.name,
                "tax_code": wanted.tax_code or "",
                "active": wanted.active,
                "metadata": _owner_metadata(wanted.id),
            },
            {"idempotency_key": _random_key(wanted.id)},
        )
    )


async def create_price(gateway: Gateway, wanted: CreatePrice, *, attempt: int = 1) -> StripePrice:
    """
    Create the next version of a price. The lookup key moves to it in the same call.

    :param attempt: incremented after a server error that the same key would get again, if no price was created.
    """
    parameters: PriceCreateParams = {
        "product": wanted.product_id,
        "unit_amount": wanted.amount,
        "currency": wanted.currency,
        "recurring": {"interval": wanted.interval},
        "tax_behavior": wanted.tax_behavior,
        "lookup_key": wanted.lookup_key,
        "transfer_lookup_key": True,
        "metadata": {**_owner_metadata(wanted.product_id), VERSION: str(wanted.version)},
    }
    state = [parameters, wanted.replaces.id if wanted.replaces else None, wanted.replaces and wanted.replaces.active]
    sha = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:24]
    keys = [f"catalogue:{wanted.lookup_key}:v{wanted.version}:{sha}:{attempt}", _random_key(wanted.lookup_key)]
    try:
        return _price(await gateway.call(gateway.sdk.v1.prices.create_async(parameters, {"idempotency_key": keys[0]})))
    except StripeRefused:
        # Stripe repeats a refusal to the same key for a day, also after its cause is gone. Nothing was created.
        return _price(await gateway.call(gateway.sdk.v1.prices.create_async(parameters, {"idempotency_key": keys[1]})))


async def archive_price(gateway: Gateway, price_id: str) -> None:
    """Archive a price. Existing subscriptions keep it."""
    options: stripe.RequestOptions = {"idempotency_key": _random_key(price_id)}
    await gateway.call(gateway.sdk.v1.prices.update_async(price_id, {"active": False}, options))


async def _listed(gateway: Gateway, parameters: PriceListParams) -> AsyncIterator[StripePrice]:
    parameters["limit"] = 100
    while True:
        page = await gateway.call(gateway.sdk.v1.prices.list_async(parameters))
        for price in page.data:
            yield _price(price)
        if not page.has_more:
            return
        parameters["starting_after"] = page.data[-1].id


def _owner_metadata(product_id: str) -> dict[str, str]:
    plan, component = plan_and_component(product_id) or ("", "")
    return {PLAN: plan, COMPONENT: component}


def _random_key(about: str) -> str:
    return f"catalogue:{about}:{secrets.token_hex(12)}"


def _product(found: stripe.Product) -> StripeProduct:
    code = found.tax_code
    return StripeProduct(
        id=found.id,
        name=found.name,
        tax_code=code if code is None or isinstance(code, str) else code.id,
        active=found.active,
        plan=_note(found, PLAN),
        component=_note(found, COMPONENT),
    )


def _price(found: stripe.Price) -> StripePrice:
    version = _note(found, VERSION) or ""
    billed = found.recurring
    is_plain = billed is not None and billed.interval_count == 1 and billed.usage_type == "licensed"
    return StripePrice(
        id=found.id,
        product_id=found.product if isinstance(found.product, str) else found.product.id,
        lookup_key=found.lookup_key,
        amount=found.unit_amount,
        currency=found.currency,
        interval=billed.interval if billed is not None and is_plain else None,
        active=found.active,
        version=int(version) if version.isascii() and version.isdecimal() else None,
        tax_behavior=found.tax_behavior or "unspecified",
    )


def _note(found: stripe.Product | stripe.Price, name: str) -> str | None:
    # It is typed as a dict but has no .get.
    return found.metadata[name] if name in found.metadata else None  # noqa: SIM401
