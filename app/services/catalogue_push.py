"""
The catalogue, brought to Stripe.

Nothing is remembered between two pushes: what is there is asked, what is missing is done, and then it is asked again.
So a push that was killed is finished by the next one, and two at once do each other no harm.
"""

from collections.abc import AsyncIterator

from app.domain.errors import StripeFault
from app.domain.plans import Catalogue
from app.domain.prices import (
    ArchivePrice,
    CatalogueStillDiffers,
    Change,
    CreatePrice,
    CreateProduct,
    StripePrice,
    StripeProduct,
    UpdateProduct,
    diff,
    product_id,
)
from app.gateway import prices
from app.gateway.client import Gateway

ROUNDS = 4  # the last one only looks, as a rule


async def differences(gateway: Gateway, catalogue: Catalogue) -> list[Change]:
    """
    Return what a push would do.

    :raises LookupKeyTaken: if a lookup key belongs to a product that is not Newsstand's.
    :raises StripeUnavailable: if Stripe cannot be asked.
    """
    products: list[StripeProduct] = []
    found: list[StripePrice] = []
    lookup_keys: list[str] = []
    for plan in catalogue.plans.values():
        for price in plan.prices.values():
            lookup_keys.append(price.lookup_key)
            product = await prices.product(gateway, product_id(plan.code, price.component))
            if product is not None:
                products.append(product)
                found += await prices.of_product(gateway, product.id)
    for active in (True, False):
        found += await prices.holders(gateway, lookup_keys, active=active)
    return diff(catalogue, products, found)


async def push(gateway: Gateway, catalogue: Catalogue) -> AsyncIterator[Change]:
    """
    Make Stripe's products and prices those of the catalogue, and yield each change when it is done.

    It ends when Stripe, asked again, has what the catalogue says.

    :raises LookupKeyTaken: before anything is done, if a lookup key belongs to a product that is not Newsstand's.
    :raises StripeUnavailable: in the middle of it, maybe: what was yielded is done, the next push does the rest.
    :raises StripeRefused: likewise.
    :raises CatalogueUnsettled: if Stripe still differs after all rounds.
    """
    fault: StripeFault | None = None
    for attempt in range(1, ROUNDS + 1):
        try:
            changes = await differences(gateway, catalogue)
            if not changes:
                return
            for change in changes:
                await _apply(gateway, change, attempt=attempt)
                yield change
            fault = None
        except StripeFault as again:  # it may have happened or not; the same key would only repeat the fault
            fault = again
    raise fault or CatalogueStillDiffers


async def _apply(gateway: Gateway, change: Change, *, attempt: int) -> None:
    match change:
        case CreateProduct():
            await prices.create_product(gateway, change.product)
        case UpdateProduct():
            await prices.update_product(gateway, change.product)
        case CreatePrice():
            await prices.create_price(gateway, change, attempt=attempt)
        case ArchivePrice():
            await prices.archive_price(gateway, change.price.id)
