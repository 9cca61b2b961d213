"""The flags of a label compare it with the subscription's label before, even if that was not on the last run."""

from datetime import UTC, datetime, timedelta

from tests.support.labels import NEW_HOME, freeze, labels, move
from tests.support.shop import START_TIME, Shop

CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)  # of issue 5; each later issue has its own 15 days later
PACE, DAY = timedelta(days=15), timedelta(days=1)


async def test_a_move_during_a_hold_is_flagged_on_the_first_copy_after_it(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, 5)
    held = await shop.post("/v1/me/holds", ada, {"from": "2026-03-10", "issues": 1})
    assert held.status_code == 201, held.text
    await move(shop, ada, NEW_HOME)
    for number in (6, 7, 8):
        await shop.advance_to(CUTOFF + (number - 5) * PACE + DAY)
        await freeze(shop, number)

    flags = {
        number: {one["city"]: (one["new"], one["changed"]) for one in await labels(shop, number)} for number in (7, 8)
    }

    assert flags[7] == {"Portland": ("", "1"), "Springfield": ("", "")}
    assert flags[8] == {"Portland": ("", ""), "Springfield": ("", "")}


async def test_a_renewal_during_a_hold_is_flagged_on_the_first_copy_of_the_new_term(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(START_TIME.replace(year=2027) - 10 * DAY)
    held = await shop.post("/v1/me/holds", ada, {"from": "2027-02-19", "until": "2027-03-10"})
    assert held.status_code == 201, held.text
    found = []
    for number in (28, 29, 30, 31, 32):
        await shop.advance_to(max(CUTOFF + (number - 5) * PACE + DAY, START_TIME.replace(year=2027) - 9 * DAY))
        counts = (await freeze(shop, number))["counts"]
        found.append((number, counts["copies"], counts["renewed"]))

    assert sum(renewed for _, _, renewed in found) == 1, found
    assert [copies for _, copies, _ in found] == [1, 0, 1, 1, 1], "the new term begins with issue 29, which is held"
