"""Products, prices, coupons, promotion codes, customers, and the lists of them."""

from typing import Any

import pytest
import stripe

from tests.sandbox.shop import Shop


async def test_a_price_is_found_by_its_lookup_key(shop: Shop) -> None:
    price = await shop.price(lookup_key="annual", metadata={"version": "1"})
    await shop.price(lookup_key="other")
    found = await shop.v1.prices.list_async({"lookup_keys": ["annual"], "active": True, "expand": ["data.product"]})
    assert [(each.id, each.product.name) for each in found.data] == [(price.id, "Magazine")]


async def test_a_lookup_key_moves_to_a_newer_price_only_if_asked(shop: Shop) -> None:
    old = await shop.price(lookup_key="annual")
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        await shop.price(lookup_key="annual")
    new = await shop.price(lookup_key="annual", transfer_lookup_key=True)
    assert (await shop.v1.prices.retrieve_async(old.id)).lookup_key is None
    assert new.lookup_key == "annual"


async def test_a_price_shows_every_field_that_may_be_null(shop: Shop) -> None:
    price = await shop.price()
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
async def test_a_price_that_makes_no_sense_is_refused(shop: Shop, params: dict[str, Any], param: str) -> None:
    product = await shop.v1.products.create_async({"name": "Magazine"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.prices.create_async({"product": product.id, **params})
    assert caught.value.param == param


async def test_a_products_id_may_be_chosen_once(shop: Shop) -> None:
    assert (await shop.v1.products.create_async({"id": "print", "name": "Print"})).id == "print"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.products.create_async({"id": "print", "name": "Print"})
    assert caught.value.code == "resource_already_exists"


async def test_a_product_with_prices_is_archived_and_not_deleted(shop: Shop) -> None:
    price = await shop.price()
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        await shop.v1.products.delete_async(price.product)
    assert not (await shop.v1.products.update_async(price.product, {"active": False})).active


async def test_tax_codes_are_known_and_others_refused(shop: Shop) -> None:
    codes = await shop.v1.tax_codes.list_async({"limit": 100})
    assert "txcd_35020200" in [code.id for code in codes.data]
    with pytest.raises(stripe.InvalidRequestError, match="No such tax code"):
        await shop.v1.products.create_async({"name": "x", "tax_code": "txcd_1"})


async def test_a_customer_is_changed_found_by_email_and_deleted(shop: Shop) -> None:
    customer = await shop.customer(method=None, shipping={"name": "Ada", "address": {"line1": "1 Lane"}})
    changed = await shop.v1.customers.update_async(customer.id, {"phone": "555", "shipping": ""})
    assert (changed.phone, changed.shipping) == ("555", None)
    assert [each.id for each in (await shop.v1.customers.list_async({"email": "ada@example.com"})).data] == [
        customer.id
    ]
    assert (await shop.v1.customers.list_async({"email": "bob@example.com"})).data == []
    await shop.v1.customers.delete_async(customer.id)
    assert (await shop.v1.customers.retrieve_async(customer.id)).deleted
    assert (await shop.v1.customers.list_async()).data == []
    assert await shop.types() == ["customer.created", "customer.updated", "customer.deleted"]


async def test_an_update_tells_what_was_before(shop: Shop) -> None:
    customer = await shop.v1.customers.create_async({"name": "Ada", "metadata": {"a": "1", "b": "2"}})
    await shop.v1.customers.update_async(customer.id, {"name": "Ada B", "metadata": {"b": "3"}})
    event = await shop.event("customer.updated")
    assert event.data.previous_attributes.to_dict() == {"name": "Ada", "metadata": {"b": "2"}}
    await shop.v1.customers.update_async(customer.id, {"name": "Ada B"})
    assert (await shop.types()).count("customer.updated") == 1


async def test_metadata_is_merged_and_an_empty_value_deletes(shop: Shop) -> None:
    customer = await shop.v1.customers.create_async({"metadata": {"a": "1", "b": "2"}})
    merged = await shop.v1.customers.update_async(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert merged.metadata.to_dict() == {"a": "1", "c": "3"}
    assert (await shop.v1.customers.update_async(customer.id, {"metadata": ""})).metadata.to_dict() == {}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({f"key{n}": "x" for n in range(51)}, id="51 keys"),
        pytest.param({"k" * 41: "x"}, id="a key of 41 characters"),
        pytest.param({"key": "x" * 501}, id="a value of 501 characters"),
    ],
)
async def test_metadata_has_limits(shop: Shop, metadata: dict[str, str]) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="etadata"):
        await shop.v1.customers.create_async({"metadata": metadata})


async def test_lists_come_in_pages_newest_first(shop: Shop) -> None:
    for number in range(5):
        await shop.v1.customers.create_async({"name": str(number)})
    first = await shop.v1.customers.list_async({"limit": 2})
    assert ([each.name for each in first.data], first.has_more, first.url) == (["4", "3"], True, "/v1/customers")
    second = await shop.v1.customers.list_async({"limit": 2, "starting_after": first.data[-1].id})
    assert [each.name for each in second.data] == ["2", "1"]
    back = await shop.v1.customers.list_async({"limit": 1, "ending_before": second.data[0].id})
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
async def test_a_page_that_cannot_be_is_refused(shop: Shop, params: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.customers.list_async(params)
    assert caught.value.param == param


async def test_expanding_replaces_ids_up_to_four_levels(shop: Shop) -> None:
    subscription = await shop.subscribe()
    found = await shop.v1.subscriptions.retrieve_async(
        subscription.id,
        {"expand": ["customer", "latest_invoice.payments", "default_payment_method", "items.data.price.product"]},
    )
    assert found.customer.email == "ada@example.com"
    assert found.latest_invoice.payments.data[0].status == "paid"
    assert found.default_payment_method is None
    assert found["items"].data[0].price.product.name == "Magazine"
    listed = await shop.v1.invoices.list_async({"subscription": subscription.id, "expand": ["data.payments"]})
    assert listed.data[0].payments.data[0].payment.type == "payment_intent"
    unexpanded = await shop.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert "payments" not in unexpanded


@pytest.mark.parametrize(
    ("path", "told"),
    [
        pytest.param("latest_invoice.payments.data.payment.payment_intent", "more than 4 levels", id="too deep"),
        pytest.param("status", "cannot be expanded", id="no reference"),
        pytest.param("nonsense", "cannot be expanded", id="no such field"),
        pytest.param("automatic_tax", "cannot be expanded", id="no resource"),
    ],
)
async def test_what_cannot_be_expanded_is_refused(shop: Shop, path: str, told: str) -> None:
    subscription = await shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match=told):
        await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": [path]})


async def test_a_promotion_code_is_found_by_what_was_typed_and_can_be_switched_off(shop: Shop) -> None:
    coupon = await shop.v1.coupons.create_async({"id": "TENOFF", "percent_off": 10, "duration": "forever"})
    code = await shop.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING"}
    )
    found = await shop.v1.promotion_codes.list_async(
        {"code": "spring", "active": True, "expand": ["data.promotion.coupon"]}
    )
    assert [(each.id, each.promotion.coupon.percent_off) for each in found.data] == [(code.id, 10)]
    assert not (await shop.v1.promotion_codes.update_async(code.id, {"active": False})).active
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await shop.subscribe(discounts=[{"promotion_code": code.id}])


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"duration": "once"}, id="nothing off"),
        pytest.param({"duration": "once", "percent_off": 101}, id="more than all"),
        pytest.param({"duration": "once", "percent_off": 10, "amount_off": 1, "currency": "usd"}, id="both"),
        pytest.param({"duration": "once", "amount_off": 100}, id="an amount without a currency"),
    ],
)
async def test_a_coupon_that_makes_no_sense_is_refused(shop: Shop, params: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.coupons.create_async(params)


async def test_a_coupon_that_is_used_up_or_too_late_is_not_valid(shop: Shop) -> None:
    coupon = await shop.v1.coupons.create_async({"percent_off": 10, "duration": "once", "max_redemptions": 1})
    assert coupon.valid
    await shop.subscribe(discounts=[{"coupon": coupon.id}])
    spent = await shop.v1.coupons.retrieve_async(coupon.id)
    assert (spent.valid, spent.times_redeemed) == (False, 1)
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await shop.subscribe(discounts=[{"coupon": coupon.id}])
