"""
The catalogue push: creates and updates products and prices at Stripe.

A push has no state: it lists what Stripe has, makes the missing changes and lists again. So an interrupted push is completed
by the next one, and concurrent pushes do not conflict.
"""

from collections.abc import AsyncIterator, Sequence

from app.domain.errors import StripeFault
from app.domain.plans import Catalogue
from app.domain.prices import (
    ArchivePrice,
    CatalogueStillDiffers,
    Change,
    CreatePrice,
    CreateProduct,
    NotTheConfirmedChanges,
    StripePrice,
    StripeProduct,
    UpdateProduct,
    diff,
    product_id,
)
from app.gateway import prices
from app.gateway.client import Gateway

MAX_ROUNDS = 4  # the last one usually only verifies


async def differences(gateway: Gateway, catalogue: Catalogue) -> list[Change]:
    """
    Return the changes that a push would make.

    :raises LookupKeyTaken: a lookup key belongs to a product that is not Newsstand's.
    :raises StripeUnavailable: Stripe can't be reached.
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


async def push(
    gateway: Gateway, catalogue: Catalogue, *, confirmed: Sequence[Change] | None = None
) -> AsyncIterator[Change]:
    """
    Make Stripe's products and prices match the catalogue, and yield each change after it is made.

    Ends when Stripe is listed again and matches.

    :param confirmed: the changes that a person agreed to; None: whatever is needed.
    :raises NotTheConfirmedChanges: other changes are needed now. Nothing was changed.
    :raises LookupKeyTaken: a lookup key belongs to a product that is not Newsstand's. Nothing was changed.
    :raises StripeUnavailable: Stripe can't be reached. The yielded changes were made, and the next push makes the others.
    :raises StripeRefused: Stripe declined a change; as above.
    :raises CatalogueStillDiffers: Stripe still differs after all rounds.
    """
    fault: StripeFault | None = None
    for attempt in range(1, MAX_ROUNDS + 1):
        try:
            changes = await differences(gateway, catalogue)
            if confirmed is not None and changes != list(confirmed):
                raise NotTheConfirmedChanges
            confirmed = None  # what is left after an error is a part of it
            if not changes:
                return
            for change in changes:
                await _apply(gateway, change, attempt=attempt)
                yield change
            fault = None
        except StripeFault as failure:  # the change may have been made; the same key would return the same fault
            fault = failure
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
