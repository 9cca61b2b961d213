"""What goes to a supplement: copies that were left out, once nothing is in the way, and never those of before an import."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.labels import download, freeze, labels, preview, try_to_freeze
from tests.support.reconciliation import reconcile
from tests.support.refunds import GUARANTEE, payment_ids, request_refund
from tests.support.shop import ADDRESS, CATALOGUE, Shop, open_shop

ISSUE = 5  # of the planned ones: it closes at the end of March 8, 2026 in Chicago
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
PENDING_REFUNDS = "4000000000007726"


async def test_a_payment_that_is_known_late_goes_to_a_supplement(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ben"), print_edition=True)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    ada = shop.person("ada")
    await shop.pay_checkout((await shop.open_checkout(ada, print_edition=True)).json()["url"], address=ADDRESS)
    await shop.advance_to(CUTOFF)
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 1

    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await reconcile(shop)
    supplement = await freeze(shop, ISSUE, supplement=True)

    assert (supplement["number"], supplement["counts"]["copies"]) == (1, 1)
    assert len({label["control"] for label in await labels(shop, ISSUE)}) == 1
    assert (await try_to_freeze(shop, ISSUE, supplement=True, key="more")).json()["code"] == "nothing_to_add"
    assert len(await shop.rows("SELECT DISTINCT subscription_id FROM labels")) == 2


async def test_a_copy_comes_in_a_supplement_when_its_refund_has_failed(
    database: str, sandbox: Any, issuer: Any, tmp_path: Path
) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(CATALOGUE.read_text().replace('failed_refund = "ended"', 'failed_refund = "restore"'))
    async with open_shop(database, sandbox, issuer, catalogue=path) as shop:
        await shop.stripe.put("/_sandbox/settings", json={"refund_seconds": 90 * 86400})
        await shop.plan_issues(30)
        ada = shop.person("ada")
        opened = (await shop.open_checkout(ada, print_edition=True)).json()
        await shop.pay_checkout(opened["url"], card=PENDING_REFUNDS, address=ADDRESS)
        await shop.wait_until_idle()
        (payment,) = await payment_ids(shop, ada)
        refund = await request_refund(shop, payment, GUARANTEE, 73_00, key="refund")
        assert refund.status_code == 201, refund.text
        await shop.wait_until_idle()
        await shop.advance_to(CUTOFF)
        assert (await freeze(shop, ISSUE))["counts"]["copies"] == 0

        (at_stripe,) = (await shop.stripe_get("/v1/refunds"))["data"]
        await shop.stripe.post(f"/_sandbox/refunds/{at_stripe['id']}", json={"status": "failed"})
        await shop.wait_until_idle()

        assert (await freeze(shop, ISSUE, supplement=True))["counts"]["copies"] == 1


async def test_a_subscription_that_cannot_be_updated_holds_up_no_other_copy(shop: Shop) -> None:
    await shop.plan_issues(30)
    for name in ("ada", "ben"):
        await shop.subscribe(shop.person(name), print_edition=True)
    await shop.advance_to(CUTOFF)
    await shop.execute(
        "WITH run AS (INSERT INTO derivation_runs (id, kind, change, editions, work_key) VALUES ('run_x', 'catalogue',"
        " '{\"plans\": []}', '{}', 'run_x') RETURNING id) INSERT INTO calendar_work (id, work_key, due_at, run_id,"
        " attempts) SELECT o.id, 'ledger:' || o.id, now() + interval '1 day', 'run_x', 1 FROM subscriptions o"
        " JOIN subscribers s ON s.id = o.subscriber_id WHERE s.sub = 'ada'"
    )
    assert (await try_to_freeze(shop, ISSUE)).json()["code"] == "copies_being_derived"

    await shop.execute("UPDATE calendar_work SET attempts = 3")
    left_out = (await preview(shop, ISSUE))["left_out"]
    run = await try_to_freeze(shop, ISSUE)

    assert (left_out["not_updated"], run.status_code, run.json()["counts"]["copies"]) == (1, 201, 1)
    await shop.execute("UPDATE calendar_work SET due_at = now()")
    await shop.wait_until_idle()
    assert (await freeze(shop, ISSUE, supplement=True))["counts"]["copies"] == 1
    assert await download(shop, ISSUE) != await download(shop, ISSUE, supplement=1)


async def test_copies_from_before_an_import_are_on_no_run(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await shop.execute("UPDATE postal_addresses SET is_usable = false")
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 0
    await shop.execute("UPDATE postal_addresses SET is_usable = true")
    assert (await preview(shop, ISSUE, supplement=True))["counts"]["copies"] == 1

    await shop.execute(f"UPDATE subscriptions SET followed_since = '{CUTOFF.isoformat()}'")

    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"
    assert (await preview(shop, ISSUE + 1))["counts"]["copies"] == 1
