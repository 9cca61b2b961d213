"""The changes that bring Stripe's prices in line with the catalogue."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import Money
from app.domain.plans import Catalogue, Plan
from app.domain.prices import (
    ArchivePrice,
    Change,
    CreatePrice,
    CreateProduct,
    LookupKeyTaken,
    StripePrice,
    StripeProduct,
    UpdateProduct,
    diff,
    format_price,
    plan_and_component,
    product_id,
)
from tests.domain.test_plans import ANNUAL, PRICES

DIGITAL_ONLY = replace(ANNUAL, prices={"digital": PRICES["digital"]})
CATALOGUE = Catalogue(publisher="The Lantern Review", features=ANNUAL.features, plans={"annual": DIGITAL_ONLY})
PRODUCT = StripeProduct(
    id="newsstand_annual_digital",
    name="Digital Edition",
    tax_code="txcd_10303002",
    active=True,
    plan="annual",
    component="digital",
)
KEY = "newsstand_annual_digital"
V1 = StripePrice(
    id="price_1",
    product_id=PRODUCT.id,
    lookup_key=KEY,
    amount=4900,
    currency="usd",
    interval="year",
    active=True,
    version=1,
    tax_behavior="exclusive",
)
V2 = replace(V1, id="price_2", version=2)
BY_HAND = replace(V1, id="price_9", version=None)
FOREIGN = replace(BY_HAND, product_id="prod_tote_bag")

MADE = "product newsstand_annual_digital: create 'Digital Edition' with tax code txcd_10303002"
ON_SALE = f"{KEY}: create 49.00 usd as version 1"
AGAIN = f"{KEY}: create 49.00 usd again as version 2"
V1_ENDS = f"{KEY}: archive version 1 (49.00 usd)"


@pytest.mark.parametrize(
    ("products", "prices", "sentences"),
    [
        pytest.param([], [], [MADE, ON_SALE], id="empty account: both created"),
        pytest.param([PRODUCT], [], [ON_SALE], id="killed after the product: price created"),
        pytest.param([PRODUCT], [V1], [], id="in line: no change"),
        pytest.param(
            [replace(PRODUCT, name="Digital", tax_code=None)],
            [V1],
            [f"product {KEY}: change name from 'Digital' to 'Digital Edition', tax code from none to 'txcd_10303002'"],
            id="other name and no tax code: set",
        ),
        pytest.param(
            [replace(PRODUCT, active=False)],
            [V1],
            [f"product {KEY}: change active from false to true"],
            id="archived product",
        ),
        pytest.param(
            [replace(PRODUCT, plan=None, component=None)],
            [V1],
            [f"product {KEY}: change plan from none to 'annual', component from none to 'digital'"],
            id="no metadata: set",
        ),
        pytest.param(
            [PRODUCT],
            [replace(V1, amount=4500)],
            [
                f"{KEY}: change 45.00 usd to 49.00 usd as version 2; current subscribers keep version 1",
                f"{KEY}: archive version 1 (45.00 usd)",
            ],
            id="other amount: next version",
        ),
        pytest.param(
            [PRODUCT],
            [replace(V1, currency="jpy")],
            [
                f"{KEY}: change 4900 jpy to 49.00 usd as version 2; current subscribers keep version 1",
                f"{KEY}: archive version 1 (4900 jpy)",
            ],
            id="other currency",
        ),
        pytest.param(
            [PRODUCT],
            [replace(V1, interval="month", tax_behavior="inclusive")],
            [
                f"{KEY}: change 49.00 usd (per month, tax inclusive) to 49.00 usd (per year, tax exclusive) as version 2; "
                "current subscribers keep version 1",
                V1_ENDS,
            ],
            id="other interval and tax behavior",
        ),
        pytest.param([PRODUCT], [replace(V1, active=False)], [AGAIN], id="archived with the same terms: created again"),
        pytest.param([PRODUCT], [replace(V1, lookup_key=None)], [AGAIN, V1_ENDS], id="no lookup key"),
        pytest.param(
            [PRODUCT], [replace(V1, lookup_key=None), V2], [V1_ENDS], id="killed before the old price was archived"
        ),
        pytest.param(
            [PRODUCT], [replace(V1, active=False, lookup_key=None), V2], [], id="old versions archived: no change"
        ),
        pytest.param(
            [PRODUCT],
            [V1, replace(BY_HAND, lookup_key=None)],
            [],
            id="unrelated manual price: no change",
        ),
        pytest.param(
            [PRODUCT],
            [replace(BY_HAND, amount=4500)],
            [f"{KEY}: change 45.00 usd to 49.00 usd as version 1; current subscribers keep price_9"],
            id="manual price with our lookup key: key moved",
        ),
        pytest.param(
            [PRODUCT],
            [replace(V1, product_id="newsstand_yearly_digital")],
            [
                f"{KEY}: change 49.00 usd (per year, tax exclusive) to 49.00 usd (per year, tax exclusive) as version 1; "
                "current subscribers keep version 1",
                "newsstand_yearly_digital: archive version 1 (49.00 usd)",
            ],
            id="renamed plan: key moved to the new product",
        ),
    ],
)
def test_the_difference_consists_of_the_missing_changes(
    products: Sequence[StripeProduct], prices: Sequence[StripePrice], sentences: Sequence[str]
) -> None:
    assert [str(change) for change in diff(CATALOGUE, products, prices)] == sentences


@pytest.mark.parametrize("active", [True, False])
def test_a_lookup_key_of_a_foreign_product_is_never_moved(active: bool) -> None:
    with pytest.raises(LookupKeyTaken, match="price_9, a price of prod_tote_bag"):
        diff(CATALOGUE, [PRODUCT], [replace(FOREIGN, active=active)])


def test_products_precede_prices_and_archiving_is_last() -> None:
    both = replace(CATALOGUE, plans={"annual": ANNUAL})
    changes = diff(both, [], [replace(V1, amount=4500)])
    assert [type(change) for change in changes] == [
        CreateProduct,
        CreateProduct,
        CreatePrice,
        CreatePrice,
        ArchivePrice,
    ]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        pytest.param(4900, "usd", "49.00 usd", id="cents"),
        pytest.param(4900, "jpy", "4900 jpy", id="yen without minor units"),
        pytest.param(4900, "kwd", "4.900 kwd", id="dinar with three decimals"),
        pytest.param(490_000, "ugx", "4900.00 ugx", id="UGX is counted in hundredths"),
        pytest.param(None, "usd", "a variable amount in usd", id="tiers"),
    ],
)
def test_an_amount_is_formatted_for_people(amount: int | None, currency: str, text: str) -> None:
    assert format_price(amount, currency) == text


@pytest.mark.parametrize("component", ["digital", "print"])
@pytest.mark.parametrize("plan", ["annual", "two-years-2027"])
def test_a_product_id_contains_its_plan_and_component(plan: str, component: str) -> None:
    assert plan_and_component(product_id(plan, component)) == (plan, component)


@pytest.mark.parametrize(
    "other",
    ["prod_123", "newsstand_annual", "newsstand_annual_tote", "newsstand_a_b_print", "newsstand_annual_print\n"],
)
def test_the_id_of_a_foreign_product_has_no_plan(other: str) -> None:
    assert plan_and_component(other) is None


KEYS = st.sampled_from(["key_a", "key_b", "key_c", None])
INTERVALS = st.sampled_from(["year", "month"])
TAX = st.sampled_from(["exclusive", "inclusive"])
AMOUNTS = st.sampled_from([2400, 4900, 5200])
OURS = [product_id(plan, component) for plan in ("annual", "monthly", "old") for component in ("digital", "print")]


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    keys = draw(st.permutations(["key_a", "key_b", "key_c", "key_d"]))
    plans: dict[str, Plan] = {}
    for code in draw(st.sets(st.sampled_from(["annual", "monthly"]), min_size=1)):
        tax = draw(TAX)
        plans[code] = replace(
            ANNUAL,
            code=code,
            interval=draw(INTERVALS),
            prices={
                component: replace(price, lookup_key=keys.pop(), price=Money(draw(AMOUNTS), "usd"), tax_behavior=tax)
                for component, price in PRICES.items()
            },
        )
    return replace(CATALOGUE, plans=plans)


@st.composite
def accounts(draw: st.DrawFn) -> tuple[list[StripeProduct], list[StripePrice]]:
    products = [
        replace(PRODUCT, id=one, name=draw(st.sampled_from(["Digital Edition", "Old"])), active=draw(st.booleans()))
        for one in draw(st.sets(st.sampled_from(OURS)))
    ]
    prices: list[StripePrice] = []
    for number in range(draw(st.integers(0, 6)) if products else 0):
        key = draw(KEYS)
        prices.append(
            StripePrice(
                id=f"price_{number}",
                product_id=draw(st.sampled_from(products)).id,
                lookup_key=None if any(price.lookup_key == key for price in prices) else key,
                amount=draw(st.one_of(AMOUNTS, st.none())),
                currency="usd",
                interval=draw(st.one_of(INTERVALS, st.none())),
                active=draw(st.booleans()),
                version=draw(st.one_of(st.integers(1, 5), st.none())),
                tax_behavior=draw(TAX),
            )
        )
    return products, prices


class Account:
    """A model of Stripe's products and prices: a new price takes the lookup key from the old one."""

    def __init__(self, products: Sequence[StripeProduct], prices: Sequence[StripePrice]) -> None:
        self.products = {product.id: product for product in products}
        self.prices = {price.id: price for price in prices}

    def apply(self, change: Change) -> None:
        match change:
            case CreateProduct() | UpdateProduct():
                self.products[change.product.id] = change.product
            case ArchivePrice():
                self.prices[change.price.id] = replace(self.prices[change.price.id], active=False)
            case CreatePrice():
                assert self.products[change.product_id].active
                for price in self.prices.values():
                    if price.lookup_key == change.lookup_key:
                        self.prices[price.id] = replace(price, lookup_key=None)
                made = StripePrice(
                    id=f"price_{len(self.prices)}",
                    product_id=change.product_id,
                    lookup_key=change.lookup_key,
                    amount=change.amount,
                    currency=change.currency,
                    interval=change.interval,
                    active=True,
                    version=change.version,
                    tax_behavior=change.tax_behavior,
                )
                self.prices[made.id] = made

    def diff(self, catalogue: Catalogue) -> list[Change]:
        return diff(catalogue, self.products.values(), self.prices.values())


@given(catalogue=catalogues(), account=accounts(), killed_after=st.integers(0, 12))
def test_the_next_push_completes_an_interrupted_one(
    catalogue: Catalogue, account: tuple[list[StripeProduct], list[StripePrice]], killed_after: int
) -> None:
    stripe = Account(*account)
    for change in stripe.diff(catalogue)[:killed_after]:
        stripe.apply(change)
    for change in stripe.diff(catalogue):
        stripe.apply(change)
    assert stripe.diff(catalogue) == []
    for plan in catalogue.plans.values():
        for price in plan.prices.values():
            sold = [p for p in stripe.prices.values() if p.lookup_key == price.lookup_key and p.active]
            assert [(p.amount, p.interval) for p in sold] == [(price.price.amount, plan.interval)]
