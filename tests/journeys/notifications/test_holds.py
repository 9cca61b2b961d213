"""Copies on hold: Stripe charges as before, so the notice of the renewal stays, and no held copy is announced as late."""

from datetime import timedelta

from tests.support.mailbox import Mailbox
from tests.support.notices import reach, scheduled
from tests.support.shop import START_TIME, Shop

AN_HOUR = timedelta(hours=1)
DUE = START_TIME.replace(year=2027) - timedelta(days=30)


async def test_a_hold_leaves_the_notice_of_the_renewal_where_it_is(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.plan_issues(30)
    await shop.subscribe(ada, print_edition=True)

    made = await shop.post("/v1/me/holds", ada, {"from": "2026-03-02", "issues": 2})
    assert made.status_code == 201, made.text
    await shop.wait_until_idle()
    (ends,) = await shop.rows("SELECT current_period_end FROM subscriptions")

    assert ends["current_period_end"] == START_TIME.replace(year=2027), (
        "later issues are owed, and nothing is paid later"
    )
    assert await scheduled(shop) == [("ada", "renewal_ahead", DUE)]
    await reach(shop, DUE + AN_HOUR)
    assert [one.subject for one in mail.received] == ["Your subscription renews on March 1, 2027"]


async def test_the_delay_of_a_held_copy_is_not_announced(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada, ben = mailing_shop, mailing_shop.person(), mailing_shop.person("ben")
    await shop.plan_issues(30)
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    made = await shop.post("/v1/me/holds", ada, {"from": "2026-03-12", "until": "2026-04-20"})
    assert 6 in made.json()["held"], made.text
    (issue,) = await shop.rows("SELECT * FROM issues WHERE number = 6")
    await reach(shop, START_TIME + AN_HOUR)
    editor = shop.person("editor", roles=("circulation",))
    body = {name: str(issue[name]) for name in ("title", "cover_date", "label_cutoff")}
    body["planned_mail_date"] = str(issue["planned_mail_date"] + timedelta(days=7))

    saved = await shop.http.put("/v1/issues/6", headers=dict(editor.headers), json=body)
    assert saved.status_code == 200, saved.text
    await shop.wait_until_idle()
    await reach(shop, START_TIME + 2 * AN_HOUR)

    assert [(one.to, one.subject) for one in mail.received] == [(ben.email, "Issue 6 will be late")]
