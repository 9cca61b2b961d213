"""Long runs on a test clock: monthly renewals, leap days and coupons that end."""

from datetime import UTC, datetime

from tests.sandbox.client import HOUR, OPENING, YEAR, SandboxAccount


def at(year: int, month: int, day: int) -> int:
    """Return midnight UTC in seconds since the epoch."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


async def test_monthly_renewals_happen_on_the_last_day_of_each_month(account: SandboxAccount) -> None:
    clock = await account.v1.test_helpers.test_clocks.create_async({"frozen_time": at(2026, 1, 31)})
    price = await account.price(500, recurring={"interval": "month"})
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id), price=price)
    for _ in range(12):
        seen = await account.v1.subscriptions.retrieve_async(subscription.id)
        await account.advance(clock, seen["items"].data[0].current_period_end + HOUR)
    invoices = (await account.v1.invoices.list_async({"subscription": subscription.id, "limit": 100})).data
    made = [datetime.fromtimestamp(invoice.created, UTC) for invoice in reversed(invoices)]
    assert [(each.month, each.day) for each in made] == [
        (1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31), (9, 30), (10, 31), (11, 30), (12, 31),
        (1, 31),
    ]  # fmt: skip
    assert {invoice.status for invoice in invoices} == {"paid"}
    assert [int(invoice.number[-4:]) for invoice in reversed(invoices)] == list(range(1, 14))
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).billing_cycle_anchor == at(2026, 1, 31)


async def test_a_february_29_subscription_renews_on_the_28th_in_other_years(account: SandboxAccount) -> None:
    clock = await account.v1.test_helpers.test_clocks.create_async({"frozen_time": at(2028, 2, 29)})
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    ends = []
    for _ in range(4):
        end = (await account.v1.subscriptions.retrieve_async(subscription.id))["items"].data[0].current_period_end
        ends.append(end)
        await account.advance(clock, end + HOUR)
    assert ends == [at(2029, 2, 28), at(2030, 2, 28), at(2031, 2, 28), at(2032, 2, 29)]


async def test_a_three_month_coupon_discounts_three_invoices(account: SandboxAccount) -> None:
    clock = await account.clock()
    price = await account.price(1000, recurring={"interval": "month"})
    coupon = await account.v1.coupons.create_async(
        {"percent_off": 50, "duration": "repeating", "duration_in_months": 3}
    )
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer, price=price, discounts=[{"coupon": coupon.id}])
    begun = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["discounts"]})
    assert begun.discounts[0].end == at(2026, 4, 1)
    for month in range(2, 6):
        await account.advance(clock, at(2026, month, 1) + HOUR)
    invoices = (await account.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [invoice.total for invoice in reversed(invoices)] == [500, 500, 500, 1000, 1000]
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).discounts == []


async def test_automatic_tax_applies_to_every_renewal(account: SandboxAccount) -> None:
    await account.settings(tax_rate=8.25)
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id, address={"country": "US", "postal_code": "62701"})
    subscription = await account.subscribe(customer=customer, automatic_tax={"enabled": True})
    await account.advance(clock, OPENING + YEAR + HOUR)
    invoices = (await account.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [(invoice.total, invoice.total_taxes[0].amount) for invoice in invoices] == [(5304, 404)] * 2


async def test_cancel_at_in_the_middle_of_a_period_ends_the_subscription_then(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    middle = at(2026, 7, 1)
    changed = await account.v1.subscriptions.update_async(
        subscription.id, {"cancel_at": middle, "proration_behavior": "none"}
    )
    assert (changed.cancel_at, changed.cancel_at_period_end) == (middle, False)
    await account.advance(clock, middle)
    ended = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", middle)


async def test_references_to_a_deleted_customer_expand_to_a_stub(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    assert (await account.v1.customers.delete_async(customer.id)).deleted
    assert (await account.v1.customers.retrieve_async(customer.id)).deleted
    ended = await account.v1.subscriptions.retrieve_async(
        subscription.id, {"expand": ["customer", "latest_invoice.customer"]}
    )
    assert (ended.status, ended.customer.deleted, ended.latest_invoice.customer.deleted) == ("canceled", True, True)
    await account.advance(clock, OPENING + YEAR + HOUR)
    assert len((await account.v1.invoices.list_async({"subscription": subscription.id})).data) == 1
