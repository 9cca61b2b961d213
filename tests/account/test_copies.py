"""The pages about printed copies: where they are sent, a time without them, and one that did not arrive."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.account.conftest import AccountBrowser, OpenAccount
from tests.support.labels import HOME, NEW_HOME, freeze, labels, move
from tests.support.print_edition import items, put, quote
from tests.support.shop import START_TIME, Person, Shop

CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)  # labels of issue 5 close with March 8, in the publisher's time zone
MAILED = datetime(2026, 3, 20, 18, tzinfo=UTC)
ISSUE = 5
RENEWAL = START_TIME.replace(year=2027)


@pytest.fixture
async def nia(shop: Shop) -> Person:
    """A reader with print."""
    await shop.plan_issues(50)
    person = shop.person("nia")
    await shop.subscribe(person, print_edition=True)
    await move(shop, person, HOME)
    return person


async def test_a_reader_moves(shop: Shop, nia: Person, open_account: OpenAccount) -> None:
    account = await open_account(nia)
    overview = await account.open("/")
    page = await account.open("/address")
    entered = {"line1": "3 Lake Path", "city": "Duluth", "region": "MN", "postal_code": "55801"}
    refused = await account.submit(page, "/address", **{**entered, "line1": "", "city": ""})
    saved = await account.submit(refused, "/address", **entered)

    assert "Change your address" in overview.text
    assert page.form("/address").values()["line1"] == HOME["line1"]
    assert "Changes you make today take effect with No. 5." in page.text
    assert "doesn’t change what you pay for print" in page.text
    assert refused.status == 422
    for name, message in (("line1", "The street address is missing."), ("city", "The city is missing.")):
        (field,) = refused.find("input", name=name)
        (said,) = refused.find("p", id=field.attributes["aria-describedby"])
        assert said.text.strip() == message
    assert refused.form("/address").values()["postal_code"] == "55801"
    assert "Your address is saved. The first copy that goes there is No. 5." in saved.text
    assert (await shop.get("/v1/me/address", nia)).json()["address"]["city"] == "Duluth"
    again = await account.open("/address")
    assert "Your address is saved." not in again.text


async def test_a_company_and_a_district_are_kept(shop: Shop, nia: Person, open_account: OpenAccount) -> None:
    await move(shop, nia, HOME, company="Invented & Sons", district="Old Town")
    account = await open_account(nia)

    await account.submit(await account.open("/address"), "/address", line2="Floor 2")

    stored = (await shop.get("/v1/me/address", nia)).json()["address"]
    assert (stored["company"], stored["district"], stored["line2"]) == ("Invented & Sons", "Old Town", "Floor 2")


async def test_a_temporary_address_is_added_and_removed(shop: Shop, nia: Person, open_account: OpenAccount) -> None:
    account = await open_account(nia)
    page = await account.open("/address")
    one_day = await account.submit(page, "/address", line1="3 Lake Path", since="2026-04-01")
    backwards = await account.submit(page, "/address", line1="3 Lake Path", since="2026-05-01", until="2026-04-01")
    saved = await account.submit(page, "/address", line1="3 Lake Path", since="2026-04-01", until="2026-05-01")
    during = (await shop.get("/v1/me/address", nia)).json()
    removed = await account.submit(saved, "/address/remove")

    assert "Enter both days" in one_day.text
    assert (one_day.status, backwards.status) == (422, 422)
    assert "From April 1, 2026 until May 1, 2026, we send your copies to" in saved.text
    assert (during["address"]["line1"], during["temporary"][0]["line1"]) == (HOME["line1"], "3 Lake Path")
    assert "The temporary address is removed." in removed.text
    assert (await shop.get("/v1/me/address", nia)).json()["temporary"] == []


async def test_a_reader_holds_copies_and_gets_them_again(shop: Shop, nia: Person, open_account: OpenAccount) -> None:
    account = await open_account(nia)
    page = await account.open("/holds")
    wrong = await account.submit(page, "/holds", since="soon", until="2026-04-10")
    past = await account.submit(page, "/holds", since="2020-03-01", until="2026-04-10")
    held = await account.submit(page, "/holds", since="2026-03-05", until="2026-04-10")
    twice = await account.submit(page, "/holds", since="2026-03-05", until="2026-04-10")
    (stored,) = (await shop.get("/v1/me/holds", nia)).json()["data"]
    lifted = await account.submit(held, "/holds/lift")

    (field,) = wrong.find("input", name="since")
    (said,) = wrong.find("p", id=field.attributes["aria-describedby"])
    assert (wrong.status, said.text.strip()) == (422, "Enter a date such as 2027-03-01.")
    assert wrong.form("/holds").values()["until"] == "2026-04-10"
    assert (past.status, "Choose today or a later day." in past.text) == (422, True)
    assert "Your copies are on hold. On hold: No. 5, No. 6, No. 7." in held.text
    assert "Your copies are on hold." in twice.text
    assert (stored["from"], stored["held"]) == ("2026-03-05", [5, 6, 7])
    assert "We send your copies again." in lifted.text
    assert "It was ended before any copy was held." in lifted.text
    assert [one["status"] for one in (await shop.get("/v1/me/holds", nia)).json()["data"]] == ["over"]


async def test_a_reader_holds_a_number_of_issues(shop: Shop, nia: Person, open_account: OpenAccount) -> None:
    account = await open_account(nia)
    page = await account.open("/holds")
    neither = await account.submit(page, "/holds", since="2026-03-05")
    both = await account.submit(page, "/holds", since="2026-03-05", until="2026-04-10", issues="2")
    many = await account.submit(page, "/holds", since="2026-03-05", issues="many")
    too_many = await account.submit(page, "/holds", since="2026-03-05", issues="99")
    held = await account.submit(page, "/holds", since="2026-03-05", issues="2")

    for refused in (neither, both):
        assert (refused.status, "or a number of issues." in refused.text) == (422, True)
    assert (many.status, "Enter a whole number from 1 to" in many.text) == (422, True)
    assert (too_many.status, "A hold can last at most" in too_many.text) == (422, True)
    assert "Your copies are on hold. On hold: No. 5, No. 6." in held.text
    (stored,) = (await shop.get("/v1/me/holds", nia)).json()["data"]
    assert (stored["until"], stored["issues"], stored["held"]) == (None, 2, [5, 6])


async def test_a_hold_form_that_was_sent_can_be_sent_again_with_other_days(
    shop: Shop, nia: Person, open_account: OpenAccount
) -> None:
    account = await open_account(nia)
    page = await account.open("/holds")
    backwards = await account.submit(page, "/holds", since="2026-04-10", until="2026-04-01")
    await account.submit(page, "/holds", since="2026-04-01", until="2026-04-10")
    refused = await account.submit(page, "/holds", since="2026-05-01", until="2026-05-10")
    (form,) = [one for one in refused.find("form") if "since" in one.values()]
    held = await account.browser.submit(refused, form)
    (form,) = [one for one in held.find("form") if "since" in one.values()]
    overlapping = await account.browser.submit(held, form, since="2026-05-05", until="2026-05-12")

    assert "Choose a day after the first day without copies." in backwards.text
    assert "This form was sent before, with other values." in refused.text
    assert "Your copies are on hold." in held.text
    assert "You have another hold at that time." in overlapping.text
    assert len((await shop.get("/v1/me/holds", nia)).json()["data"]) == 2


async def test_a_reader_claims_a_copy_once(shop: Shop, nia: Person, open_account: OpenAccount) -> None:
    account = await open_account(nia)
    nothing = await account.open("/claims")
    await _mail(shop)
    overview = await account.open("/")
    page = await account.open("/claims")
    wrong = await account.submit(page, "/claims", reason="eaten", note="By the dog")
    unknown = await account.submit(page, "/claims", issue="999")
    claimed = await account.submit(page, "/claims", reason="damaged")
    twice = await account.submit(page, "/claims", reason="damaged")
    other = await account.submit(page, "/claims", reason="damaged", key="another-attempt-0123456789")

    assert "There’s no copy that you can report now." in nothing.text
    assert "Report a missing or damaged copy" in overview.text
    assert (wrong.status, "Choose what happened." in wrong.text) == (422, True)
    assert "By the dog" in wrong.text
    assert (unknown.status, other.status) == (422, 422)
    assert "You have already reported No. 5." in other.text
    for page in (claimed, twice):
        assert "Thank you for telling us about No. 5. We’ll mail you another copy." in page.text
    (stored,) = (await shop.get("/v1/me/claims", nia)).json()["data"]
    assert (stored["issue"], stored["reason"], stored["resolution"]) == (5, "damaged", "resend")
    assert "reported as missing or damaged" in (await account.open("/")).text
    await freeze(shop, ISSUE, supplement=True)
    assert len(await labels(shop, ISSUE, supplement=1)) == 1


async def test_a_copy_that_was_sent_before_a_late_move_is_not_claimed(
    shop: Shop, nia: Person, open_account: OpenAccount
) -> None:
    account = await open_account(nia)
    await _mail(shop, moved=nia)
    overview = await account.open("/")
    refused = await account.submit(await account.open("/claims"), "/claims", reason="not_received")

    assert "1 Lantern Street" in overview.text, "the address on the label"
    assert refused.status == 422
    assert "No. 5 went to your address before you moved, because its labels were already printed." in refused.text
    assert (await shop.get("/v1/me/claims", nia)).json()["data"] == []


async def test_copies_of_an_earlier_subscription_can_be_claimed(
    shop: Shop, nia: Person, open_account: OpenAccount
) -> None:
    await _mail(shop)
    assert (await shop.post("/v1/me/subscription/cancel", nia, {"when": "now"})).status_code == 200
    await shop.wait_until_idle()
    await shop.subscribe(nia, print_edition=True)
    account = await open_account(nia)
    claimed = await account.submit(await account.open("/claims"), "/claims", reason="not_received")

    assert "Thank you for telling us about No. 5." in claimed.text
    assert len((await shop.get("/v1/me/claims", nia)).json()["data"]) == 1


async def test_a_reader_without_print_is_offered_none_of_it(shop: Shop, open_account: OpenAccount) -> None:
    await shop.plan_issues(50)
    person = shop.person("otto")
    await shop.subscribe(person)
    account = await open_account(person)
    overview = await account.open("/")
    refused = await account.submit(await account.open("/holds"), "/holds", since="2026-04-01", until="2026-05-01")

    assert "/account/address" not in overview.text
    assert refused.status == 409
    assert (await shop.get("/v1/me/holds", person)).json()["data"] == []


@pytest.mark.parametrize(("path", "form"), [("/address", "/address"), ("/holds", "/holds"), ("/claims", "/claims")])
async def test_forms_of_other_sites_change_nothing(
    shop: Shop, nia: Person, open_account: OpenAccount, path: str, form: str
) -> None:
    await _mail(shop)
    account: AccountBrowser = await open_account(nia)
    values = (await account.open(path)).form(form).values() | {"since": "2026-04-01", "until": "2026-05-01"}

    refused = await account.post(path, {**values, "form_token": "x"}, origin=shop.url)

    assert refused.status == 403
    for stored in ("holds", "claims"):
        assert (await shop.get(f"/v1/me/{stored}", nia)).json()["data"] == []
    assert (await shop.get("/v1/me/address", nia)).json()["temporary"] == []


async def test_print_that_was_paid_too_late_can_be_added_or_dropped(shop: Shop, open_account: OpenAccount) -> None:
    await shop.plan_issues(60)
    person = shop.person("nia")
    await shop.subscribe(person)
    await shop.advance_to(RENEWAL - timedelta(hours=3))
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    await put(shop, person, enabled=True, amount=(await quote(shop, person))["amount"]["amount"], address=HOME)
    await shop.postpone("print_changes")
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    account = await open_account(person)

    overview = await account.open("/")
    page = await account.open("/print")
    (drop,) = [one for one in page.find("form") if one.values().get("enabled") == "no"]
    dropped = await account.browser.submit(page, drop)
    await shop.wait_until_idle()

    assert "Digital. Print starts with your renewal on March 1, 2028" in overview.text
    assert "Add or drop the print edition" in overview.text
    assert "Print isn’t part of this term" in page.text
    assert "We charge your card $24 now" in page.text
    assert "Print is no longer part of your subscription." in dropped.text
    assert await items(shop) == ["newsstand_annual_digital"]
    assert "Add the print edition" in (await account.open("/")).text


async def test_owed_copies_can_be_redirected_and_held_after_the_period(
    shop: Shop, nia: Person, open_account: OpenAccount
) -> None:
    await shop.execute("UPDATE terms SET issues_owed = issues_owed + 6")
    await shop.post("/v1/me/subscription/cancel", nia, {"when": "period_end"})
    await shop.wait_until_idle()
    await shop.advance_to(RENEWAL + timedelta(days=1))
    await shop.wait_until_idle()
    account = await open_account(nia)

    overview = await account.open("/")

    assert (await shop.rows("SELECT status FROM subscriptions"))[0]["status"] == "canceled"
    assert "Change your address" in overview.text
    assert "Hold your copies while you’re away" in overview.text


async def test_print_that_was_added_at_stripe_is_part_of_the_term(shop: Shop, open_account: OpenAccount) -> None:
    await shop.plan_issues(50)
    person = shop.person("otto")
    await shop.subscribe(person)
    (row,) = await shop.rows("SELECT stripe_id FROM subscriptions")
    prices = (await shop.stripe_get("/v1/prices"))["data"]
    (price,) = [one["id"] for one in prices if one["lookup_key"] == "newsstand_annual_print"]
    added = {"price": price, "quantity": "1", "proration_behavior": "create_prorations"}
    await shop.stripe_post("/v1/subscription_items", subscription=row["stripe_id"], **added)
    await shop.wait_until_idle()
    account = await open_account(person)

    overview = await account.open("/")
    page = await account.open("/print")

    assert "Digital and print" in overview.text
    assert "Drop the print edition" in overview.text
    assert [one.values()["enabled"] for one in page.find("form") if "enabled" in one.values()] == ["no"]
    mine = (await shop.get("/v1/me/subscription", person)).json()
    assert (mine["editions"], mine["print_from"]) == (["digital", "print"], None)


async def _mail(shop: Shop, *, moved: Person | None = None) -> None:
    await shop.advance_to(CUTOFF)
    if moved is not None:
        await move(shop, moved, NEW_HOME)
    await freeze(shop, ISSUE)
    await shop.advance_to(MAILED)
