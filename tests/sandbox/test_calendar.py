"""Long runs on a test clock: a year of months, leap days, coupons that end."""

from datetime import UTC, datetime

from tests.sandbox.shop import HOUR, OPENING, YEAR, Shop


def at(year: int, month: int, day: int) -> int:
    """Return a midnight in seconds since the epoch."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


async def test_a_year_of_months_renews_twelve_times_on_the_last_days(shop: Shop) -> None:
    clock = await shop.v1.test_helpers.test_clocks.create_async({"frozen_time": at(2026, 1, 31)})
    price = await shop.price(500, recurring={"interval": "month"})
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id), price=price)
    for _ in range(12):
        seen = await shop.v1.subscriptions.retrieve_async(subscription.id)
        await shop.wind(clock, seen["items"].data[0].current_period_end + HOUR)
    invoices = (await shop.v1.invoices.list_async({"subscription": subscription.id, "limit": 100})).data
    made = [datetime.fromtimestamp(invoice.created, UTC) for invoice in reversed(invoices)]
    assert [(each.month, each.day) for each in made] == [
        (1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31), (9, 30), (10, 31), (11, 30), (12, 31),
        (1, 31),
    ]  # fmt: skip
    assert {invoice.status for invoice in invoices} == {"paid"}
    assert [int(invoice.number[-4:]) for invoice in reversed(invoices)] == list(range(1, 14))
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).billing_cycle_anchor == at(2026, 1, 31)


async def test_what_began_on_29_february_renews_on_the_28th_until_there_is_a_29th(shop: Shop) -> None:
    clock = await shop.v1.test_helpers.test_clocks.create_async({"frozen_time": at(2028, 2, 29)})
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    ends = []
    for _ in range(4):
        end = (await shop.v1.subscriptions.retrieve_async(subscription.id))["items"].data[0].current_period_end
        ends.append(end)
        await shop.wind(clock, end + HOUR)
    assert ends == [at(2029, 2, 28), at(2030, 2, 28), at(2031, 2, 28), at(2032, 2, 29)]


async def test_a_coupon_for_three_months_is_off_three_invoices(shop: Shop) -> None:
    clock = await shop.clock()
    price = await shop.price(1000, recurring={"interval": "month"})
    coupon = await shop.v1.coupons.create_async({"percent_off": 50, "duration": "repeating", "duration_in_months": 3})
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer, price=price, discounts=[{"coupon": coupon.id}])
    begun = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["discounts"]})
    assert begun.discounts[0].end == at(2026, 4, 1)
    for month in range(2, 6):
        await shop.wind(clock, at(2026, month, 1) + HOUR)
    invoices = (await shop.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [invoice.total for invoice in reversed(invoices)] == [500, 500, 500, 1000, 1000]
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).discounts == []


async def test_automatic_tax_is_on_every_renewal(shop: Shop) -> None:
    await shop.settings(tax_rate=8.25)
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id, address={"country": "US", "postal_code": "62701"})
    subscription = await shop.subscribe(customer=customer, automatic_tax={"enabled": True})
    await shop.wind(clock, OPENING + YEAR + HOUR)
    invoices = (await shop.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [(invoice.total, invoice.total_taxes[0].amount) for invoice in invoices] == [(5304, 404)] * 2


async def test_a_cancel_at_in_the_middle_of_a_period_ends_it_then(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    middle = at(2026, 7, 1)
    changed = await shop.v1.subscriptions.update_async(
        subscription.id, {"cancel_at": middle, "proration_behavior": "none"}
    )
    assert (changed.cancel_at, changed.cancel_at_period_end) == (middle, False)
    await shop.wind(clock, middle)
    ended = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", middle)


async def test_a_customer_who_is_deleted_stays_as_a_stub_wherever_it_is_named(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    assert (await shop.v1.customers.delete_async(customer.id)).deleted
    assert (await shop.v1.customers.retrieve_async(customer.id)).deleted
    ended = await shop.v1.subscriptions.retrieve_async(
        subscription.id, {"expand": ["customer", "latest_invoice.customer"]}
    )
    assert (ended.status, ended.customer.deleted, ended.latest_invoice.customer.deleted) == ("canceled", True, True)
    await shop.wind(clock, OPENING + YEAR + HOUR)
    assert len((await shop.v1.invoices.list_async({"subscription": subscription.id})).data) == 1
