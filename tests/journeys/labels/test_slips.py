"""An issue slips between its label cut-off and the freeze."""

from datetime import UTC, datetime

from tests.support.labels import circulation, freeze, preview
from tests.support.print_edition import change
from tests.support.refunds import UNSERVED, get_quotes, payment_ids, request_refund
from tests.support.shop import Shop

ISSUE = 5
CLOSED = datetime(2026, 3, 10, 18, tzinfo=UTC)  # labels close with March 8, in the publisher's time zone
LATER = datetime(2026, 3, 30, 18, tzinfo=UTC)


async def test_an_issue_that_slips_after_its_cutoff_keeps_the_promised_copies(shop: Shop) -> None:
    """After the cut-off, Ada drops print and Ben gets the other issues' money back: the copy that they keep is sent."""
    await shop.plan_issues(50)
    ada, ben, cat = (shop.person(name) for name in ("ada", "ben", "cat"))
    for reader in (ada, ben, cat):
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(CLOSED)
    await change(shop, ada, enabled=False)
    (payment,) = await payment_ids(shop, ben)
    quote = (await get_quotes(shop, payment))[UNSERVED]
    assert quote["issues"]["served"] == 1
    answer = await request_refund(shop, payment, UNSERVED, quote["amount"]["amount"], key="once")
    assert answer.status_code == 201, answer.text
    await shop.wait_until_idle()

    refused = await _put(shop, ISSUE, label_cutoff="2026-03-26", planned_mail_date="2026-04-01")
    recounted = await _put(shop, ISSUE, counts_as=0)
    slipped = await _put(shop, ISSUE, planned_mail_date="2026-04-01")
    closed_early = await _put(shop, ISSUE + 1, label_cutoff="2026-03-09")

    assert refused == recounted == closed_early == (409, "cutoff_passed")
    assert slipped == (200, None)
    assert (await preview(shop, ISSUE))["counts"]["copies"] == 3
    await shop.advance_to(LATER)
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 3


async def _put(shop: Shop, number: int, **changed: object) -> tuple[int, object]:
    issue = (await shop.get(f"/v1/issues/{number}", circulation(shop))).json()
    body = {name: issue[name] for name in ("title", "cover_date", "planned_mail_date", "label_cutoff", "counts_as")}
    answer = await shop.http.put(
        f"/v1/issues/{number}", headers=dict(circulation(shop).headers), json={**body, **changed}
    )
    await shop.wait_until_idle()
    return answer.status_code, answer.json().get("code")
