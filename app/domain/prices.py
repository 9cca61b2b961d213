"""
The differences between the catalogue and the Products and Prices at Stripe.

Each component of a plan is a product with an ID that we choose, so it is found without a search. A price at Stripe never
changes: a change in the catalogue creates a new price, the next version, which takes over the lookup key. The previous
price is archived: it can no longer be bought, but current subscribers keep paying it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from app.domain.errors import Conflict, StripeRefused
from app.domain.money import Money
from app.domain.plans import DIGITAL, PRINT, Catalogue, Plan, Price

_PRODUCT_ID = re.compile(rf"newsstand_([a-z][a-z0-9-]*)_({DIGITAL}|{PRINT})")


class LookupKeyTaken(Conflict):
    """A lookup key of the catalogue belongs to a price that Newsstand did not create."""

    code = "lookup_key_taken"
    title = "Lookup key already in use"


class CatalogueStillDiffers(StripeRefused):
    """Stripe still differs from the catalogue after the push. Perhaps another push is running."""


class NotTheConfirmedChanges(Conflict):
    """Stripe has changed since you confirmed. Nothing was done; push again to see the changes."""

    code = "not_the_confirmed_changes"
    title = "Stripe has changed since the confirmation"


def product_id(plan: str, component: str) -> str:
    """Return the Stripe product ID of a plan's component."""
    return f"newsstand_{plan}_{component}"


def plan_and_component(product_id: str) -> tuple[str, str] | None:
    """Return the plan and component of a product ID; None if it is not ours. The inverse of :func:`product_id`."""
    found = _PRODUCT_ID.fullmatch(product_id)
    return (found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeProduct:
    """A product at Stripe."""

    id: str
    name: str
    tax_code: str | None
    active: bool
    plan: str | None  # from its metadata, like the component
    component: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePrice:
    """A price at Stripe."""

    id: str
    product_id: str
    lookup_key: str | None
    amount: int | None  # in minor units; None: tiered, or not a whole number
    currency: str
    interval: str | None  # "year" or "month"; None: not a fixed amount per interval
    active: bool  # can be bought
    version: int | None  # None: not created by Newsstand
    tax_behavior: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProduct:
    """Create a missing product."""

    product: StripeProduct

    def __str__(self) -> str:
        return f"product {self.product.id}: create {self.product.name!r} with tax code {self.product.tax_code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProduct:
    """Update a product that differs from the catalogue."""

    product: StripeProduct
    before: StripeProduct

    def __str__(self) -> str:
        old_and_new = [
            (f.name, getattr(self.before, f.name), getattr(self.product, f.name)) for f in fields(self.product)
        ]
        changes = [
            f"{name.replace('_', ' ')} from {_format_value(old)} to {_format_value(new)}"
            for name, old, new in old_and_new
            if old != new
        ]
        return f"product {self.product.id}: change {', '.join(changes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePrice:
    """Create a price as in the catalogue. The lookup key moves to it from the previous price."""

    product_id: str
    lookup_key: str
    amount: int
    currency: str
    interval: str
    tax_behavior: str
    version: int
    replaces: StripePrice | None  # the price that has the lookup key now

    def __str__(self) -> str:
        new, old = format_price(self.amount, self.currency), self.replaces
        if old is None or not old.active:
            again = "" if self.version == 1 else " again"
            return f"{self.lookup_key}: create {new}{again} as version {self.version}"
        keep = f"version {old.version}" if old.version else old.id
        was = format_price(old.amount, old.currency)
        if was == new:  # then the interval or the tax behavior differs
            was, new = f"{was} {_format_billing(old)}", f"{new} {_format_billing(self)}"
        return f"{self.lookup_key}: change {was} to {new} as version {self.version}; current subscribers keep {keep}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePrice:
    """Archive a price of ours that was replaced but is still active."""

    price: StripePrice

    def __str__(self) -> str:
        what = format_price(self.price.amount, self.price.currency)
        return f"{self.price.product_id}: archive version {self.price.version} ({what})"


Change = CreateProduct | UpdateProduct | CreatePrice | ArchivePrice


def diff(catalogue: Catalogue, products: Iterable[StripeProduct], prices: Iterable[StripePrice]) -> list[Change]:
    """
    Return the changes that make Stripe match the catalogue, in order. None are needed if it already does.

    :param products: the catalogue's products that exist at Stripe.
    :param prices: all their prices, including archived ones, and all prices with a lookup key of the catalogue.
    :raises LookupKeyTaken: a lookup key belongs to a product that is not Newsstand's.
    """
    there = {product.id: product for product in products}
    known = {price.id: price for price in prices}
    made: list[Change] = []
    priced: list[Change] = []
    archived: list[Change] = []
    for plan in catalogue.plans.values():
        for price in plan.prices.values():
            made += _product_changes(_product_of(plan, price), there)
            new = _new_price(plan, price, known)
            priced += [new] if new else []
            archived += [ArchivePrice(price=old) for old in _replaced_prices(plan, price, known, new)]
    return made + priced + list(dict.fromkeys(archived))


def format_price(amount: int | None, currency: str) -> str:
    """Return the amount for people, as in ``49.00 usd``."""
    if amount is None:
        return f"a variable amount in {currency}"
    return str(Money(amount, currency)).removesuffix(currency.upper()) + currency


def _product_of(plan: Plan, price: Price) -> StripeProduct:
    return StripeProduct(
        id=product_id(plan.code, price.component),
        name=price.title,
        tax_code=price.tax_code,
        active=True,
        plan=plan.code,
        component=price.component,
    )


def _product_changes(wanted: StripeProduct, there: Mapping[str, StripeProduct]) -> list[Change]:
    before = there.get(wanted.id)
    if before is None:
        return [CreateProduct(product=wanted)]
    return [] if before == wanted else [UpdateProduct(product=wanted, before=before)]


def _new_price(plan: Plan, price: Price, known: Mapping[str, StripePrice]) -> CreatePrice | None:
    product = product_id(plan.code, price.component)
    holder = next((p for p in known.values() if p.lookup_key == price.lookup_key), None)
    if holder and plan_and_component(holder.product_id) is None:
        raise LookupKeyTaken(
            f"The lookup key {price.lookup_key} belongs to {holder.id}, a price of {holder.product_id}, which is not "
            "Newsstand's. Choose another lookup_key for the plan.",
            lookup_key=price.lookup_key,
            price=holder.id,
        )
    if holder and _matches(holder, product, plan, price):
        return None
    versions = [p.version for p in known.values() if p.product_id == product and p.version is not None]
    return CreatePrice(
        product_id=product,
        lookup_key=price.lookup_key,
        amount=price.price.amount,
        currency=price.price.currency,
        interval=plan.interval,
        tax_behavior=price.tax_behavior,
        version=max(versions, default=0) + 1,
        replaces=holder,
    )


def _matches(found: StripePrice, product: str, plan: Plan, price: Price) -> bool:
    terms = (found.amount, found.currency, found.interval, found.tax_behavior)
    wanted = (price.price.amount, price.price.currency, plan.interval, price.tax_behavior)
    return found.active and found.version is not None and found.product_id == product and terms == wanted


def _replaced_prices(
    plan: Plan, price: Price, known: Mapping[str, StripePrice], new: CreatePrice | None
) -> Iterable[StripePrice]:
    """Yield our active prices that were replaced. An interrupted push can leave one."""
    product = product_id(plan.code, price.component)
    for found in known.values():
        is_ours = found.version is not None and (found.product_id == product or (new and found == new.replaces))
        is_current = new is None and found.lookup_key == price.lookup_key
        if is_ours and found.active and not is_current:
            yield found


def _format_billing(price: StripePrice | CreatePrice) -> str:
    return f"(per {price.interval or 'use'}, tax {price.tax_behavior})"


def _format_value(value: object) -> str:
    return "none" if value is None else repr(value) if isinstance(value, str) else str(value).lower()
