"""With print, the 14 days count from the receipt of the first copy, which is assumed 30 days after it was mailed."""

from datetime import UTC, datetime, timedelta

from tests.journeys.cancellations.test_withdrawals import quote, withdraw
from tests.support.labels import freeze
from tests.support.shop import Person, Shop

FIRST, SECOND = 5, 6  # issues
CUTOFF, SECOND_CUTOFF = datetime(2026, 3, 9, 12, tzinfo=UTC), datetime(2026, 3, 24, 12, tzinfo=UTC)
# Mailed on March 17, received by April 16. April 30 is the last day; it ends last in Chicago, where the publisher is.
LAST_DAY_ENDS = datetime(2026, 5, 1, 5, tzinfo=UTC)
SECOND_LAST_DAY_ENDS = datetime(2026, 5, 16, 5, tzinfo=UTC)  # the second copy is mailed on April 1
MINUTE = timedelta(minutes=1)


async def first_copy_is_mailed(shop: Shop, *names: str) -> list[Person]:
    """Subscribe readers of print in Germany, and put the first copy on labels."""
    await shop.plan_issues(30)
    readers = [shop.person(name) for name in names]
    for reader in readers:
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, FIRST)
    await shop.execute("UPDATE postal_addresses SET country = 'DE'")  # as if the publisher mailed copies there
    return readers


async def until(shop: Shop, reader: Person) -> datetime | None:
    """Return when the reader's period ends."""
    said = (await quote(shop, reader))["until"]
    return datetime.fromisoformat(said) if said is not None else None


async def test_last_day_and_day_after_count_from_the_first_copy(shop: Shop) -> None:
    ada, ben = await first_copy_is_mailed(shop, "ada", "ben")
    assert await until(shop, ada) == LAST_DAY_ENDS
    await shop.advance_to(SECOND_CUTOFF)
    await freeze(shop, SECOND)
    assert await until(shop, ada) == LAST_DAY_ENDS, "a later copy changes nothing"

    await shop.advance_to(LAST_DAY_ENDS - MINUTE)
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["amount"]["amount"], offered["law"]["code"]) == (True, 73_00, "eea")
    done = await withdraw(shop, ada, amount=73_00)

    assert done.status_code == 201, done.text
    assert "2026-05-01 04:59" in done.json()["acknowledgment"]
    assert {refund["basis"] for refund in done.json()["refunds"]} == {"withdrawal"}
    assert sum(refund["amount"]["amount"] for refund in done.json()["refunds"]) == 73_00
    assert not await shop.may_read(ada)
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (held["ended_by"], held["status"]) == ("withdrawal", "canceled")
    charged = await shop.stripe_get("/v1/refunds")
    assert sum(one["amount"] for one in charged["data"]) == 73_00

    await shop.advance_to(LAST_DAY_ENDS)
    assert not (await quote(shop, ben))["allowed"]
    refused = await withdraw(shop, ben, amount=73_00)
    assert (refused.status_code, refused.json()["code"]) == (409, "withdrawal_period_over")
    assert await shop.may_read(ben)
    assert len(await shop.rows("SELECT 1 FROM declarations")) == 1


async def test_an_issue_that_slips_moves_the_last_day(shop: Shop) -> None:
    (ada,) = await first_copy_is_mailed(shop, "ada")
    await shop.execute(f"UPDATE issues SET planned_mail_date = '2026-03-24' WHERE number = {FIRST}")
    assert await until(shop, ada) == LAST_DAY_ENDS + timedelta(days=7)
    await shop.advance_to(LAST_DAY_ENDS)
    assert (await quote(shop, ada))["allowed"]


async def test_a_first_copy_that_never_came_starts_no_period(shop: Shop) -> None:
    (ada,) = await first_copy_is_mailed(shop, "ada")
    await shop.advance_to(datetime(2026, 3, 20, 12, tzinfo=UTC))
    claimed = await shop.post("/v1/me/claims", ada, {"issue": FIRST, "reason": "not_received", "resolution": "extend"})
    assert claimed.status_code == 201, claimed.text
    assert await until(shop, ada) is None
    await shop.advance_to(SECOND_CUTOFF)
    await shop.execute("UPDATE postal_addresses SET country = 'US'")
    await freeze(shop, SECOND)
    await shop.execute("UPDATE postal_addresses SET country = 'DE'")
    assert await until(shop, ada) == SECOND_LAST_DAY_ENDS
    await shop.advance_to(SECOND_LAST_DAY_ENDS - MINUTE)
    assert (await quote(shop, ada))["allowed"]


async def test_a_replacement_starts_the_period_when_it_is_mailed(shop: Shop) -> None:
    (ada,) = await first_copy_is_mailed(shop, "ada")
    await shop.advance_to(datetime(2026, 3, 25, 12, tzinfo=UTC))
    body = {"issue": FIRST, "reason": "not_received", "resolution": "resend"}
    assert (await shop.post("/v1/me/claims", ada, body)).status_code == 201
    await shop.execute("UPDATE postal_addresses SET country = 'US'")
    await freeze(shop, FIRST, supplement=True)
    await shop.execute("UPDATE postal_addresses SET country = 'DE'")
    assert await until(shop, ada) == datetime(2026, 5, 9, 5, tzinfo=UTC)


async def test_a_back_issue_is_not_the_first_copy(shop: Shop) -> None:
    await first_copy_is_mailed(shop, "ada")
    ben = shop.person("ben")
    await shop.subscribe(ben, print_edition=True)  # after the cut-off: the second issue is the first copy
    await shop.advance_to(datetime(2026, 3, 18, 12, tzinfo=UTC))
    (held,) = await shop.rows(
        "SELECT s.id FROM subscriptions s JOIN subscribers r ON r.id = s.subscriber_id WHERE r.sub = $1", ben.sub
    )
    order = {"subscription": held["id"], "issue": FIRST}
    ordered = await shop.post("/v1/support/back-issues", shop.agent, order, **{"Idempotency-Key": "one"})
    assert ordered.status_code == 201, ordered.text
    assert (await freeze(shop, FIRST, supplement=True))["counts"]["copies"] == 1
    await shop.advance_to(SECOND_CUTOFF)
    await freeze(shop, SECOND)
    await shop.execute("UPDATE postal_addresses SET country = 'DE'")
    assert await until(shop, ben) == SECOND_LAST_DAY_ENDS
