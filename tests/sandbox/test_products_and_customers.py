"""Products, prices, coupons, customers, and lists."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import SandboxAccount


async def test_prices_can_be_listed_by_lookup_key(account: SandboxAccount) -> None:
    price = await account.price(lookup_key="annual", metadata={"version": "1"})
    await account.price(lookup_key="other")
    found = await account.v1.prices.list_async({"lookup_keys": ["annual"], "active": True, "expand": ["data.product"]})
    assert [(each.id, each.product.name) for each in found.data] == [(price.id, "Magazine")]


async def test_a_lookup_key_moves_only_with_transfer_lookup_key(account: SandboxAccount) -> None:
    old = await account.price(lookup_key="annual")
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        await account.price(lookup_key="annual")
    new = await account.price(lookup_key="annual", transfer_lookup_key=True)
    assert (await account.v1.prices.retrieve_async(old.id)).lookup_key is None
    assert new.lookup_key == "annual"


async def test_a_price_includes_its_nullable_fields(account: SandboxAccount) -> None:
    price = await account.price()
    assert price.nickname is None
    assert price.tiers_mode is None
    assert price.recurring.interval == "year"
    assert price.unit_amount_decimal == 4900


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"currency": "usd", "unit_amount": -1}, "unit_amount", id="a negative amount"),
        pytest.param({"currency": "usd"}, "unit_amount", id="no amount"),
        pytest.param({"currency": "usd", "unit_amount": 1, "product": "prod_none"}, "product", id="no such product"),
    ],
)
async def test_invalid_prices_are_rejected(account: SandboxAccount, params: dict[str, Any], param: str) -> None:
    product = await account.v1.products.create_async({"name": "Magazine"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.prices.create_async({"product": product.id, **params})
    assert caught.value.param == param


async def test_a_product_id_can_be_chosen_only_once(account: SandboxAccount) -> None:
    assert (await account.v1.products.create_async({"id": "print", "name": "Print"})).id == "print"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.products.create_async({"id": "print", "name": "Print"})
    assert caught.value.code == "resource_already_exists"


async def test_a_product_with_prices_cannot_be_deleted(account: SandboxAccount) -> None:
    price = await account.price()
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        await account.v1.products.delete_async(price.product)
    assert not (await account.v1.products.update_async(price.product, {"active": False})).active


async def test_unknown_tax_codes_are_rejected(account: SandboxAccount) -> None:
    codes = await account.v1.tax_codes.list_async({"limit": 100})
    assert "txcd_35020200" in [code.id for code in codes.data]
    with pytest.raises(stripe.InvalidRequestError, match="No such tax code"):
        await account.v1.products.create_async({"name": "x", "tax_code": "txcd_1"})


async def test_customers_can_be_updated_listed_by_email_and_deleted(account: SandboxAccount) -> None:
    customer = await account.customer(method=None, shipping={"name": "Ada", "address": {"line1": "1 Lane"}})
    changed = await account.v1.customers.update_async(customer.id, {"phone": "555", "shipping": ""})
    assert (changed.phone, changed.shipping) == ("555", None)
    assert [each.id for each in (await account.v1.customers.list_async({"email": "ada@example.com"})).data] == [
        customer.id
    ]
    assert (await account.v1.customers.list_async({"email": "bob@example.com"})).data == []
    await account.v1.customers.delete_async(customer.id)
    assert (await account.v1.customers.retrieve_async(customer.id)).deleted
    assert (await account.v1.customers.list_async()).data == []
    assert await account.types() == ["customer.created", "customer.updated", "customer.deleted"]


async def test_update_events_contain_the_previous_attributes(account: SandboxAccount) -> None:
    customer = await account.v1.customers.create_async({"name": "Ada", "metadata": {"a": "1", "b": "2"}})
    await account.v1.customers.update_async(customer.id, {"name": "Ada B", "metadata": {"b": "3"}})
    event = await account.event("customer.updated")
    assert event.data.previous_attributes.to_dict() == {"name": "Ada", "metadata": {"b": "2"}}
    await account.v1.customers.update_async(customer.id, {"name": "Ada B"})
    assert (await account.types()).count("customer.updated") == 1


async def test_metadata_is_merged_and_an_empty_value_deletes_its_key(account: SandboxAccount) -> None:
    customer = await account.v1.customers.create_async({"metadata": {"a": "1", "b": "2"}})
    merged = await account.v1.customers.update_async(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert merged.metadata.to_dict() == {"a": "1", "c": "3"}
    assert (await account.v1.customers.update_async(customer.id, {"metadata": ""})).metadata.to_dict() == {}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({f"key{n}": "x" for n in range(51)}, id="51 keys"),
        pytest.param({"k" * 41: "x"}, id="a key of 41 characters"),
        pytest.param({"key": "x" * 501}, id="a value of 501 characters"),
    ],
)
async def test_metadata_has_limits(account: SandboxAccount, metadata: dict[str, str]) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="etadata"):
        await account.v1.customers.create_async({"metadata": metadata})


async def test_lists_are_paginated_newest_first(account: SandboxAccount) -> None:
    for number in range(5):
        await account.v1.customers.create_async({"name": str(number)})
    first = await account.v1.customers.list_async({"limit": 2})
    assert ([each.name for each in first.data], first.has_more, first.url) == (["4", "3"], True, "/v1/customers")
    second = await account.v1.customers.list_async({"limit": 2, "starting_after": first.data[-1].id})
    assert [each.name for each in second.data] == ["2", "1"]
    back = await account.v1.customers.list_async({"limit": 1, "ending_before": second.data[0].id})
    assert ([each.name for each in back.data], back.has_more) == (["3"], True)
    items = [each.name async for each in first.auto_paging_iter()]
    assert items == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"limit": 0}, "limit", id="no limit"),
        pytest.param({"limit": 101}, "limit", id="too many"),
        pytest.param({"starting_after": "cus_none"}, "starting_after", id="no such cursor"),
        pytest.param({"starting_after": "a", "ending_before": "b"}, "ending_before", id="two cursors"),
    ],
)
async def test_invalid_pagination_is_rejected(account: SandboxAccount, params: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.customers.list_async(params)
    assert caught.value.param == param


async def test_expanding_replaces_ids_up_to_four_levels(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    found = await account.v1.subscriptions.retrieve_async(
        subscription.id,
        {"expand": ["customer", "latest_invoice.payments", "default_payment_method", "items.data.price.product"]},
    )
    assert found.customer.email == "ada@example.com"
    assert found.latest_invoice.payments.data[0].status == "paid"
    assert found.default_payment_method is None
    assert found["items"].data[0].price.product.name == "Magazine"
    listed = await account.v1.invoices.list_async({"subscription": subscription.id, "expand": ["data.payments"]})
    assert listed.data[0].payments.data[0].payment.type == "payment_intent"
    unexpanded = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert "payments" not in unexpanded


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("latest_invoice.payments.data.payment.payment_intent", "more than 4 levels", id="too deep"),
        pytest.param("status", "cannot be expanded", id="no reference"),
        pytest.param("nonsense", "cannot be expanded", id="no such field"),
        pytest.param("automatic_tax", "cannot be expanded", id="no resource"),
    ],
)
async def test_properties_that_cannot_be_expanded_are_rejected(
    account: SandboxAccount, path: str, expected: str
) -> None:
    subscription = await account.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match=expected):
        await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": [path]})


async def test_promotion_codes_are_case_insensitive_and_can_be_deactivated(account: SandboxAccount) -> None:
    coupon = await account.v1.coupons.create_async({"id": "TENOFF", "percent_off": 10, "duration": "forever"})
    code = await account.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING"}
    )
    found = await account.v1.promotion_codes.list_async(
        {"code": "spring", "active": True, "expand": ["data.promotion.coupon"]}
    )
    assert [(each.id, each.promotion.coupon.percent_off) for each in found.data] == [(code.id, 10)]
    assert not (await account.v1.promotion_codes.update_async(code.id, {"active": False})).active
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await account.subscribe(discounts=[{"promotion_code": code.id}])


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"duration": "once"}, id="nothing off"),
        pytest.param({"duration": "once", "percent_off": 101}, id="more than all"),
        pytest.param({"duration": "once", "percent_off": 10, "amount_off": 1, "currency": "usd"}, id="both"),
        pytest.param({"duration": "once", "amount_off": 100}, id="an amount without a currency"),
    ],
)
async def test_invalid_coupons_are_rejected(account: SandboxAccount, params: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await account.v1.coupons.create_async(params)


async def test_an_expired_or_exhausted_coupon_is_not_valid(account: SandboxAccount) -> None:
    coupon = await account.v1.coupons.create_async({"percent_off": 10, "duration": "once", "max_redemptions": 1})
    assert coupon.valid
    await account.subscribe(discounts=[{"coupon": coupon.id}])
    spent = await account.v1.coupons.retrieve_async(coupon.id)
    assert (spent.valid, spent.times_redeemed) == (False, 1)
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await account.subscribe(discounts=[{"coupon": coupon.id}])
