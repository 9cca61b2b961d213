"""Notices of renewals: due ahead, moved by what happens to the subscription, and turned on later."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app import main
from app.services import catalogue, derivations
from tests.support.mailbox import Mailbox
from tests.support.notices import SENDER
from tests.support.shop import CATALOGUE, START_TIME, Person, Shop, open_shop

A_YEAR = START_TIME.replace(year=2027)
DUE = A_YEAR - timedelta(days=30)
RENEWS = "Your subscription renews on March 1, 2027"
SCHEDULED = "SELECT kind, send_at FROM notifications WHERE status = 'scheduled' ORDER BY send_at"


async def scheduled(shop: Shop) -> list[tuple[str, Any]]:
    return [(row["kind"], row["send_at"]) for row in await shop.rows(SCHEDULED)]


async def held_by(shop: Shop, reader: Person) -> str:
    (held,) = (await shop.overview(reader))["subscriptions"]
    return str(held["stripe_id"])


async def test_a_renewal_is_announced_once_thirty_days_ahead(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.subscribe(ada)
    assert await scheduled(shop) == [("renewal_ahead", DUE)]

    await shop.advance_to(DUE - timedelta(hours=1))
    assert mail.received == []
    await shop.advance_to(DUE + timedelta(hours=1))
    (received,) = await mail.wait_for()
    await shop.advance_to(A_YEAR + timedelta(hours=3))

    assert received.subject == RENEWS
    assert "We will then charge $49, plus tax where it applies, and each year after that" in received.text
    assert [one.subject for one in mail.received] == [RENEWS], "the renewal itself is told by Stripe's receipt"
    assert await scheduled(shop) == [("renewal_ahead", (A_YEAR.replace(year=2028)) - timedelta(days=30))]


async def test_a_cancellation_removes_the_notice_and_an_undo_brings_it_back(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.subscribe(ada)

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await mail.wait_for()
    assert await scheduled(shop) == []
    await shop.post("/v1/me/subscription/resume", ada)

    assert await scheduled(shop) == [("renewal_ahead", DUE)]
    assert [one.subject for one in mail.received] == ["Your subscription is canceled"]


async def test_a_renewal_that_moves_takes_its_notice_along(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.subscribe(ada)
    later = A_YEAR + timedelta(days=60)

    moved = {"trial_end": str(int(later.timestamp())), "proration_behavior": "none"}
    await shop.stripe_post(f"/v1/subscriptions/{await held_by(shop, ada)}", **moved)
    await shop.wait_until_idle()

    assert await scheduled(shop) == [("renewal_ahead", later - timedelta(days=30))]


async def test_a_refund_is_confirmed_and_ends_the_notice(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.subscribe(ada)
    (payment,) = (await shop.overview(ada))["payments"]

    refunded = await shop.request_refund(payment["id"])
    assert refunded.status_code == 201, refunded.text
    await shop.wait_until_idle()
    (received,) = await mail.wait_for()

    assert received.subject == "We refunded $49"
    assert "Your subscription has ended" in received.text
    assert await scheduled(shop) == []


async def test_a_declined_renewal_is_announced_with_the_page_to_pay(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    await shop.advance_to(DUE + timedelta(hours=1))
    await mail.wait_for()
    method = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{await held_by(shop, ada)}", default_payment_method=method["id"])

    await shop.advance_to(A_YEAR + timedelta(hours=3))
    await shop.wait_until_idle()
    received = (await mail.wait_for(2))[1]

    assert received.subject == "We couldn’t charge your card"
    assert "You keep access until March 15, 2027 while we try again." in received.text
    assert "Pay now: http" in received.text


async def test_a_reader_is_addressed_in_their_language(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    token = shop.issuer.token("ada", email="ada@example.com", name="Ada", claims={"locale": "de-AT"})
    ada = shop.people["ada"] = Person("ada", "ada@example.com", {"Authorization": f"Bearer {token}"})
    await shop.subscribe(ada)

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    (received,) = await mail.wait_for()

    assert received.subject == "Ihr Abo ist gekündigt"
    assert "Sie haben Zugang bis zum 1. März 2027." in received.text


async def test_a_notice_that_is_turned_on_later_covers_running_subscriptions(
    database: str, sandbox: Any, issuer: Any, mail: Mailbox, tmp_path: Path
) -> None:
    few = tmp_path / "catalogue.toml"
    few.write_text(CATALOGUE.read_text() + '\n[[policies.notices]]\nfrom = 2026-01-01\nkind = "refunded"\n')
    options: dict[str, Any] = {"smtp_url": SecretStr(mail.url), "mail_from": SENDER, "catalogue": few}
    async with open_shop(database, sandbox, issuer, **options) as shop:
        for name in ("ada", "ben"):
            await shop.subscribe(shop.person(name))
        assert await scheduled(shop) == []

        with_all = shop.settings.model_copy(update={"catalogue": CATALOGUE})
        async with main.open_context(
            with_all, catalogue.load(CATALOGUE)
        ) as ctx:  # a process that starts with all kinds
            assert await derivations.record_offers(ctx, now=START_TIME)
        await shop.wait_until("SELECT count(*) > 0 FROM derivation_runs WHERE kind = 'notices'")
        await shop.wait_until_idle()

        assert await scheduled(shop) == [("renewal_ahead", DUE)] * 2
        (run,) = await shop.rows("SELECT found, visited FROM derivation_runs WHERE kind = 'notices'")
        assert (run["found"], run["visited"]) == (2, 2)


async def test_a_notice_for_the_publishers_own_mailer_is_an_event(
    database: str, sandbox: Any, issuer: Any, mail: Mailbox, tmp_path: Path
) -> None:
    ours = tmp_path / "catalogue.toml"
    entry = '\n[[policies.notices]]\nfrom = 2026-01-01\nkind = "canceled"\nchannel = "webhook"\n'
    ours.write_text(CATALOGUE.read_text() + entry)
    async with open_shop(database, sandbox, issuer, catalogue=ours) as shop:
        ada = shop.person()
        await shop.subscribe(ada)
        await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
        await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE status = 'handed_over'")

        (event,) = await shop.rows("SELECT data::text AS data, sub FROM outbox_events WHERE type = 'notice.due'")

    assert event["sub"] == "ada"
    assert '"kind": "canceled"' in event["data"]
    assert "You have access until March 1, 2027." in event["data"]
    assert mail.received == []


async def test_a_late_issue_is_announced_to_readers_of_print_once(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada, ben = mailing_shop, mailing_shop.person(), mailing_shop.person("ben")
    await shop.plan_issues(30)
    await shop.subscribe(ada, print_edition=True)
    await shop.subscribe(ben)
    (issue,) = await shop.rows("SELECT * FROM issues WHERE number = 6")
    editor = shop.person("editor", roles=("circulation",))
    await shop.advance_to(START_TIME + timedelta(hours=1))
    body = {
        "title": "Issue 6",
        "cover_date": str(issue["cover_date"]),
        "label_cutoff": str(issue["label_cutoff"]),
        "planned_mail_date": str(issue["planned_mail_date"] + timedelta(days=7)),
    }
    for _ in range(2):
        saved = await shop.http.put("/v1/issues/6", headers=dict(editor.headers), json=body)
        assert saved.status_code == 200, saved.text
        await shop.wait_until_idle()
    (received,) = await mail.wait_for()

    assert (received.to, received.subject) == ("ada@example.com", "Issue 6 will be late")
    assert "was planned for April 1, 2026. We now expect to mail it on April 8, 2026." in received.text
    url = received.message["List-Unsubscribe"].strip("<>")
    path = url.removeprefix("https://billing.example.com")
    assert received.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    one_click = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await shop.http.post(path, headers=one_click, content="List-Unsubscribe=One-Click")
    assert answer.status_code == 204, answer.text
    body["planned_mail_date"] = str(issue["planned_mail_date"] + timedelta(days=14))
    saved = await shop.http.put("/v1/issues/6", headers=dict(editor.headers), json=body)
    assert saved.status_code == 200, saved.text
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE status = 'undelivered'")
    assert len(mail.received) == 1
