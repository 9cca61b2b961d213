"""
What the catalogue asks of Stripe's Products and Prices, and what is missing there.

A product is one component of a plan, under an id of our own choosing, so that it is found again without a search. A
price at Stripe never changes: other terms are a new price, the next version, to which the lookup key moves in the
moment it is made. The price before it is archived: it cannot be bought any more, and whoever has it keeps paying it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from app.domain.errors import Conflict, StripeRefused
from app.domain.plans import DIGITAL, PRINT, Catalogue, Plan, Price

_PRODUCT_ID = re.compile(rf"newsstand_([a-z][a-z0-9-]*)_({DIGITAL}|{PRINT})")
# Currencies whose minor unit is not a hundredth: https://docs.stripe.com/currencies#zero-decimal
_NO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMALS = "bhd jod kwd omr tnd"


class LookupKeyTaken(Conflict):
    """A lookup key of the catalogue belongs to a price that Newsstand did not create."""

    code = "lookup_key_taken"
    title = "Lookup key already in use"


class CatalogueStillDiffers(StripeRefused):
    """Stripe still differs from the catalogue after the push. Perhaps another push is running."""


def product_id(plan: str, component: str) -> str:
    """Return the id that the product of a plan's component has at Stripe."""
    return f"newsstand_{plan}_{component}"


def plan_and_component(product_id: str) -> tuple[str, str] | None:
    """Return whose product it is: the inverse of :func:`product_id`. None if it is not one of ours."""
    found = _PRODUCT_ID.fullmatch(product_id)
    return (found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeProduct:
    """A product as Stripe has it."""

    id: str
    name: str
    tax_code: str | None
    active: bool
    plan: str | None  # as its metadata says, likewise the component
    component: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePrice:
    """A price as Stripe has it."""

    id: str
    product_id: str
    lookup_key: str | None
    amount: int | None  # minor units; None: tiered, or a fraction of one
    currency: str
    interval: str | None  # "year", "month"; None: not a fixed sum billed once in each
    active: bool  # can be bought
    version: int | None  # None: not made by us
    tax_behavior: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProduct:
    """The product is not there."""

    product: StripeProduct

    def __str__(self) -> str:
        return f"product {self.product.id}: {self.product.name!r} is made, with tax code {self.product.tax_code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProduct:
    """The product differs from the catalogue."""

    product: StripeProduct
    before: StripeProduct

    def __str__(self) -> str:
        old_and_new = [
            (f.name, getattr(self.before, f.name), getattr(self.product, f.name)) for f in fields(self.product)
        ]
        said = [
            f"{name.replace('_', ' ')} {_format_value(old)} becomes {_format_value(new)}"
            for name, old, new in old_and_new
            if old != new
        ]
        return f"product {self.product.id}: {', '.join(said)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePrice:
    """The terms of the catalogue have no price that can be bought. The lookup key moves to the new one as it is made."""

    product_id: str
    lookup_key: str
    amount: int
    currency: str
    interval: str
    tax_behavior: str
    version: int
    replaces: StripePrice | None  # which has the lookup key so far

    def __str__(self) -> str:
        new, old = format_price(self.amount, self.currency), self.replaces
        if old is None or not old.active:
            again = "" if self.version == 1 else " again"
            return f"{self.lookup_key}: {new} is put on sale{again} as version {self.version}"
        keep = f"version {old.version}" if old.version else old.id
        was = format_price(old.amount, old.currency)
        if was == new:  # then it is how it is billed that differs
            was, new = f"{was} {_format_billing(old)}", f"{new} {_format_billing(self)}"
        return f"{self.lookup_key}: {was} becomes {new} from version {self.version}; current subscribers keep {keep}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePrice:
    """A price that we made can still be bought though another has taken its place."""

    price: StripePrice

    def __str__(self) -> str:
        what = format_price(self.price.amount, self.price.currency)
        return f"{self.price.product_id}: version {self.price.version} ({what}) cannot be bought any more"


Change = CreateProduct | UpdateProduct | CreatePrice | ArchivePrice


def diff(catalogue: Catalogue, products: Iterable[StripeProduct], prices: Iterable[StripePrice]) -> list[Change]:
    """
    Return what has to be done at Stripe, in this order, for it to have what the catalogue says. Nothing: it has.

    :param products: those there are of the catalogue's products.
    :param prices: every price of these, archived ones too, and whichever prices have the catalogue's lookup keys.
    :raises LookupKeyTaken: if a lookup key belongs to a product that is not Newsstand's.
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
    """Return the sum as a person writes it: ``49.00 usd``."""
    if amount is None:
        return f"a varying sum in {currency}"
    places = 0 if currency in _NO_DECIMALS.split() else 3 if currency in _THREE_DECIMALS.split() else 2
    return f"{amount / 10**places:.{places}f} {currency}"


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
            f"{price.lookup_key} is the lookup key of {holder.id}, a price of {holder.product_id}, which is not "
            "Newsstand's: choose another lookup_key for the plan",
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
    """Ours that can be bought and is not the one: a push that was killed before it archived leaves such a price."""
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
