"""Who gets a copy, and at which address: from the checkout to the file for the printer."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.support.labels import (
    CABIN,
    HOME,
    NEW_HOME,
    circulation,
    download,
    freeze,
    labels,
    move,
    preview,
    try_to_freeze,
)
from tests.support.shop import START_TIME, Shop

# Issue 5 of the planned ones closes at the end of March 8, 2026 in Chicago, and is mailed on March 17.
ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_the_address_of_the_checkout_is_on_the_label(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)

    book = (await shop.get("/v1/me/address", ada)).json()
    assert book["address"]["lines"] == ["Ada Invented", "1 Lantern Street", "SPRINGFIELD, IL 62701"]
    assert book["counts_from"]["issue"] == ISSUE
    seen = await preview(shop, ISSUE)
    assert (seen["counts"]["copies"], seen["differences"]["joined"]) == (1, 1)

    assert (await try_to_freeze(shop, ISSUE)).json()["code"] == "cutoff_not_reached"
    await shop.advance_to(CUTOFF)
    run = await freeze(shop, ISSUE)
    (label,) = await labels(shop, ISSUE)

    assert (label["name"], label["city"], label["band"], label["new"]) == (
        "Ada Invented",
        "Springfield",
        "domestic",
        "1",
    )
    assert run["counts"]["control_sum"] == int(label["control"])
    assert await download(shop, ISSUE) == await download(shop, ISSUE)
    assert (await shop.get("/v1/me/subscription", ada)).json()["issues"]["served"] == 1
    assert (await try_to_freeze(shop, ISSUE, key="again")).json()["code"] == "label_run_frozen"
    assert (await try_to_freeze(shop, ISSUE)).json() == run


async def test_move_house_two_days_before_and_one_day_after_the_cutoff(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(CUTOFF - 2 * DAY)
    assert (await move(shop, ada, NEW_HOME))["counts_from"]["issue"] == ISSUE
    await shop.advance_to(CUTOFF + DAY)
    assert (await move(shop, ben, NEW_HOME))["counts_from"]["issue"] == ISSUE + 1

    await freeze(shop, ISSUE)
    assert sorted(label["city"] for label in await labels(shop, ISSUE)) == ["Portland", "Springfield"]
    await shop.advance_to(CUTOFF + 15 * DAY)
    seen = await preview(shop, ISSUE + 1)
    await freeze(shop, ISSUE + 1)

    assert seen["differences"] | {"samples": {}} == {
        "previous": ISSUE,
        "joined": 0,
        "left": 0,
        "moved": 1,
        "samples": {},
    }
    assert [(label["city"], label["changed"]) for label in await labels(shop, ISSUE + 1)].count(("Portland", "1")) == 1
    customers = {one["shipping"]["address"]["city"] for one in await shop.stripe_customers()}
    assert customers == {"Portland"}


async def test_a_temporary_address_that_ends_between_cutoff_and_mail_date(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await move(shop, ada, CABIN, **{"from": "2026-03-02", "until": "2026-03-17"})  # back on the day of mailing
    away = await move(shop, ben, CABIN, **{"from": "2026-03-02", "until": "2026-03-18"})
    assert away["counts_from"]["issue"] == ISSUE
    await shop.advance_to(CUTOFF + DAY)
    await freeze(shop, ISSUE)

    assert [label["city"] for label in await labels(shop, ISSUE)] == ["Duluth", "Springfield"]


async def test_two_runs_at_once_make_one(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)

    answers = await asyncio.gather(*(try_to_freeze(shop, ISSUE, key=f"freeze-{one}") for one in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len(await shop.rows("SELECT * FROM labels")) == 1


async def test_a_late_payment_and_a_repaired_address_go_to_a_supplement(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.execute("UPDATE postal_addresses SET is_usable = false, problems = '{postal_code:required}'")
    listed = (await shop.get("/v1/print/unusable-addresses", circulation(shop))).json()
    assert [one["problems"][0]["code"] for one in listed["data"]] == ["required"]
    await shop.advance_to(CUTOFF)
    run = await freeze(shop, ISSUE)
    assert run["counts"]["copies"] == 0
    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"

    await move(shop, ada, {**HOME, "line2": "Apt 2"})
    assert (await preview(shop, ISSUE, supplement=True))["counts"]["copies"] == 1
    supplement = await freeze(shop, ISSUE, supplement=True, key="supplement")

    assert supplement["number"] == 1
    assert [label["line2"] for label in await labels(shop, ISSUE, supplement=1)] == ["Apt 2"]
    assert (await try_to_freeze(shop, ISSUE, supplement=True, key="more")).json()["code"] == "nothing_to_add"


async def test_readers_without_an_address_that_is_served_are_listed(shop: Shop) -> None:
    await shop.plan_issues(30)
    for name in ("ada", "ben", "cleo", "dan"):
        await shop.subscribe(shop.person(name), print_edition=name in {"ada", "ben"})
    await shop.execute(  # Ben's is in a country that is not served anymore
        "UPDATE postal_addresses SET country = 'FR' WHERE subscriber_id = (SELECT id FROM subscribers WHERE sub = 'ben')"
    )
    (price,) = (await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_print"}))["data"]
    (held,) = await shop.rows(
        "SELECT o.stripe_id FROM subscriptions o JOIN subscribers s ON s.id = o.subscriber_id WHERE s.sub = 'cleo'"
    )
    by_hand = {"items[0][price]": price["id"], "proration_behavior": "always_invoice"}
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", **by_hand)  # nobody was asked for an address
    await shop.wait_until_idle()

    async def listed() -> dict[str, list[str]]:
        rows = (await shop.get("/v1/print/unusable-addresses", circulation(shop))).json()["data"]
        subs = {row["id"]: row["sub"] for row in await shop.rows("SELECT id, sub FROM subscribers")}
        return {subs[row["subscriber"]]: [one["code"] for one in row["problems"]] for row in rows}

    assert await listed() == {"ben": ["country_not_served"], "cleo": []}
    await move(shop, shop.person("cleo"), HOME)
    assert list(await listed()) == ["ben"]


def test_the_start_is_before_the_cutoff() -> None:
    assert START_TIME < CUTOFF
