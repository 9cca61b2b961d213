"""Products and prices at Stripe, read and created with the real SDK."""

from dataclasses import replace

import pytest

from app.domain.prices import CreatePrice, StripePrice, StripeProduct
from app.gateway import prices
from app.gateway.client import Gateway, Gone
from tests.support.sandbox import Sandbox

DIGITAL = StripeProduct(
    id="newsstand_annual_digital",
    name="Digital Edition",
    tax_code="txcd_10303002",
    active=True,
    plan="annual",
    component="digital",
)
PRICE = CreatePrice(
    product_id=DIGITAL.id,
    lookup_key="newsstand_annual_digital",
    amount=4900,
    currency="usd",
    interval="year",
    tax_behavior="exclusive",
    version=1,
    replaces=None,
)


async def made(gateway: Gateway, price: CreatePrice = PRICE) -> StripePrice:
    """Create the product, unless it exists, and the price."""
    await prices.create_product(gateway, DIGITAL)
    return await prices.create_price(gateway, price)


async def test_a_product_is_found_by_our_own_id(gateway: Gateway) -> None:
    assert await prices.product(gateway, DIGITAL.id) is None
    await prices.create_product(gateway, DIGITAL)
    assert await prices.product(gateway, DIGITAL.id) == DIGITAL


async def test_a_product_created_concurrently_is_used(gateway: Gateway) -> None:
    await prices.create_product(gateway, DIGITAL)
    await prices.create_product(gateway, replace(DIGITAL, name="Another"))
    assert await prices.product(gateway, DIGITAL.id) == DIGITAL


async def test_a_product_can_be_changed_and_restored(gateway: Gateway) -> None:
    await prices.create_product(gateway, DIGITAL)
    for name in ("Another", DIGITAL.name, "Another", DIGITAL.name):
        wanted = replace(DIGITAL, name=name)
        await prices.update_product(gateway, wanted)
        assert await prices.product(gateway, DIGITAL.id) == wanted


async def test_an_unknown_tax_code_is_rejected(gateway: Gateway) -> None:
    with pytest.raises(Gone, match="No such tax code"):
        await prices.create_product(gateway, replace(DIGITAL, tax_code="txcd_00000001"))


async def test_a_price_is_created_as_requested(gateway: Gateway) -> None:
    price = await made(gateway)
    assert price == StripePrice(
        id=price.id,
        product_id=DIGITAL.id,
        lookup_key="newsstand_annual_digital",
        amount=4900,
        currency="usd",
        interval="year",
        active=True,
        version=1,
        tax_behavior="exclusive",
    )
    assert await prices.of_product(gateway, DIGITAL.id) == [price]


async def test_creating_the_same_price_again_returns_it(gateway: Gateway) -> None:
    assert await made(gateway) == await made(gateway)
    assert len(await prices.of_product(gateway, DIGITAL.id)) == 1


async def test_the_lookup_key_moves_to_the_next_version(gateway: Gateway) -> None:
    first = await made(gateway)
    second = await made(gateway, replace(PRICE, amount=5200, version=2, replaces=first))
    assert {p.id: p.lookup_key for p in await prices.of_product(gateway, DIGITAL.id)} == {
        first.id: None,
        second.id: PRICE.lookup_key,
    }
    assert await prices.purchasable(gateway, [PRICE.lookup_key]) == {PRICE.lookup_key: second}


async def test_only_an_active_price_can_be_bought(gateway: Gateway) -> None:
    price = await made(gateway)
    await prices.archive_price(gateway, price.id)
    assert await prices.purchasable(gateway, [PRICE.lookup_key]) == {}
    assert await prices.holders(gateway, [PRICE.lookup_key], active=False) == [replace(price, active=False)]
    assert await prices.of_product(gateway, DIGITAL.id) == [replace(price, active=False)]


async def test_many_lookup_keys_are_fetched_in_several_calls(gateway: Gateway, sandbox: Sandbox, key: str) -> None:
    keys = [f"newsstand_annual_{number}" for number in range(23)]
    for lookup_key in keys:
        await made(gateway, replace(PRICE, lookup_key=lookup_key))
    assert sorted(await prices.purchasable(gateway, [*keys, "nobodys"])) == sorted(keys)
    assert len(sandbox.requests(key, "GET", "/v1/prices")) == 3


async def test_a_long_list_is_read_completely(gateway: Gateway) -> None:
    for number in range(103):
        await made(gateway, replace(PRICE, lookup_key=f"key_{number}", version=number + 1))
    assert {price.version for price in await prices.of_product(gateway, DIGITAL.id)} == set(range(1, 104))


async def test_a_manually_created_price_is_read_correctly(gateway: Gateway) -> None:
    await prices.create_product(gateway, DIGITAL)
    await gateway.sdk.v1.prices.create_async({"product": DIGITAL.id, "currency": "usd", "unit_amount": 500})
    await gateway.sdk.v1.prices.create_async(
        {
            "product": DIGITAL.id,
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "year", "interval_count": 2},
            "metadata": {prices.VERSION: "two"},
        }
    )
    read = {price.amount: price for price in await prices.of_product(gateway, DIGITAL.id)}
    assert {amount: (price.interval, price.version, price.tax_behavior) for amount, price in read.items()} == {
        500: (None, None, "unspecified"),
        900: (None, None, "unspecified"),
    }


async def test_a_manually_created_product_is_foreign(gateway: Gateway) -> None:
    tote = await gateway.sdk.v1.products.create_async({"name": "Tote bag"})
    assert await prices.product(gateway, tote.id) == StripeProduct(
        id=tote.id, name="Tote bag", tax_code=None, active=True, plan=None, component=None
    )
