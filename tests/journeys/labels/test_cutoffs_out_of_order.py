"""
A cut-off before that of the issue before: both issues close with it.

Issue 6 closes at the end of March 5, and issue 5 would close at the end of March 8. On March 7 every part says the same.
"""

from datetime import UTC, datetime

from tests.support.labels import NEW_HOME, circulation, freeze, labels, move
from tests.support.print_edition import put, quote
from tests.support.refunds import UNSERVED, get_quotes, payment_ids, request_refund
from tests.support.shop import Person, Shop

BETWEEN = datetime(2026, 3, 7, 18, tzinfo=UTC)
EARLY = {
    "title": "Issue 6",
    "cover_date": "2026-04-01",
    "planned_mail_date": "2026-04-01",
    "label_cutoff": "2026-03-05",
}


async def _between(shop: Shop) -> Person:
    """Return a reader with print, between the two cut-offs."""
    await shop.plan_issues(30)
    saved = await shop.http.put("/v1/issues/6", headers=dict(circulation(shop).headers), json=EARLY)
    assert saved.status_code == 200, saved.text
    await shop.wait_until_idle()
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(BETWEEN)
    return ada


async def _sent(shop: Shop) -> list[int]:
    """Freeze both issues, and return how many copies each has."""
    found = []
    for number in (5, 6):
        await freeze(shop, number)
        found.append(len(await labels(shop, number)))
    return found


async def test_a_refund_pays_for_no_copy_that_is_sent(shop: Shop) -> None:
    ada = await _between(shop)
    (payment,) = await payment_ids(shop, ada)
    quoted = (await get_quotes(shop, payment))[UNSERVED]
    refund = await request_refund(shop, payment, UNSERVED, quoted["amount"]["amount"], key="refund")
    assert refund.status_code == 201, refund.text
    await shop.wait_until_idle()

    assert quoted["issues"]["served"] == 2
    assert await _sent(shop) == [1, 1]


async def test_dropping_print_keeps_both_copies(shop: Shop) -> None:
    ada = await _between(shop)
    quoted = await quote(shop, ada)
    answer = await put(shop, ada, enabled=False, amount=quoted["amount"]["amount"])
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()

    assert (quoted["from_issue"], quoted["issues"]) == (7, 22)
    assert await _sent(shop) == [1, 1]


async def test_a_hold_and_an_address_come_too_late_for_both(shop: Shop) -> None:
    ada = await _between(shop)
    held = await shop.post("/v1/me/holds", ada, {"from": "2026-03-07", "until": "2026-03-12"})
    moved = await move(shop, ada, NEW_HOME)

    assert (held.status_code, held.json()["held"]) == (201, [])
    assert moved["counts_from"]["issue"] == 7
    assert await _sent(shop) == [1, 1]
    assert {label["city"] for label in await labels(shop, 5)} == {"Springfield"}


async def test_an_issue_that_a_later_one_has_closed_cannot_be_opened_again(shop: Shop) -> None:
    await _between(shop)
    later = {**EARLY, "title": "Issue 5", "label_cutoff": "2026-03-10", "cover_date": "2026-03-17"}
    answer = await shop.http.put(
        "/v1/issues/5", headers=dict(circulation(shop).headers), json={**later, "planned_mail_date": "2026-03-17"}
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "cutoff_passed")
