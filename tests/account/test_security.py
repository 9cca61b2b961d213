"""Sessions, forms and headers of the hosted account. A refused request changes nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.account import app as account
from app.account.access_control import NamedRoute
from app.account.app import PAGES
from app.account.sessions import ReaderSession
from app.domain.callers import Reader
from app.setting_types import Rate
from tests.account.conftest import CIPHER, COOKIE, SETTINGS, SUB, AccountBrowser, OpenAccount
from tests.support.busy_machine import patient_browser
from tests.support.shop import Shop, open_shop

ROUTES = [route for page in PAGES for route in page.ROUTES if isinstance(route, NamedRoute)]
FORMS = [route.path for route in ROUTES if "POST" in (route.methods or ())]
EXPECTED_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
NAMES = [
    "N" * 300,
    "<script>alert(1)</script>",
    "\u202eمريم عبد الله\u202c",
    "👩‍👩‍👧‍👦" * 75,
    'O\'Brien & "Söhne"',
]


def test_every_form_has_a_page_that_shows_it_again() -> None:
    pages = {route.path for route in ROUTES if "GET" in (route.methods or ())}
    assert set(FORMS) - {"/sign-out"} <= pages
    assert account.application().routes


async def test_pages_and_forms_of_people_who_are_signed_out_are_refused(shop: Shop, open_account: OpenAccount) -> None:
    nobody = await open_account()
    for route in ROUTES:
        if "GET" in (route.methods or ()):
            assert (await nobody.open(route.path)).url.startswith(shop.issuer.url), route.path
        else:
            refused = await nobody.post(route.path, {"form_token": "x"}, origin=shop.url)
            assert (refused.status, "Nothing was changed" in refused.text) == (403, True), route.path


async def test_forms_of_other_sites_and_sessions_change_nothing(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    form = (await nia.open("/cancel")).form("/cancel").values()
    foreign = await nia.post("/cancel", form, origin="https://evil.example")
    without = await nia.post("/cancel", form)
    wrong = await nia.post("/cancel", {**form, "form_token": "x"}, origin=shop.url)
    assert [page.status for page in (foreign, without, wrong)] == [403, 403, 403]
    assert "It renews on March 1, 2027." in (await nia.open("/")).text


async def test_every_response_has_the_security_headers(shop: Shop, open_account: OpenAccount) -> None:
    nia = await open_account(shop.person("nia"))
    for path in ("/", "/subscribe", "/missing", "/sign-in", "/signed-out"):
        answer = await nia.browser._client.get(f"{shop.url}/account{path}", follow_redirects=False)
        assert {name: answer.headers.get(name) for name in EXPECTED_HEADERS} == EXPECTED_HEADERS, path
    head = await nia.browser._client.head(f"{shop.url}/account/")
    assert (head.status_code, head.content) == (200, b"")
    moved = await nia.browser._client.get(f"{shop.url}/account", follow_redirects=False)
    assert moved.headers["location"] == "/account/"


async def test_a_form_is_filled_in_again_after_its_session_ended(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person(SUB)
    await shop.subscribe(person)
    ada = await open_account(person)
    page = await ada.open("/cancel")
    ada.backdate(last_used_at=timedelta(hours=2))
    refused = await ada.submit(page, "/cancel", when="now", comment="Two\nlines & <tags>")
    assert refused.status == 403
    assert "We’ll fill in the form for you after you sign in." in refused.text
    (link,) = refused.find("a", class_="button")
    again = await ada.enter_password(await ada.browser.open(refused.resolve(link.attributes["href"])))
    assert again.url.endswith("/account/cancel")
    values = again.form("/cancel").values()
    assert (values["when"], values["comment"]) == ("now", "Two lines & <tags>")
    assert "It renews" in (await ada.open("/")).text
    done = await ada.submit(again, "/cancel")
    assert "Your subscription has ended." in done.text


async def test_a_form_of_an_earlier_session_stays_filled_in(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    page = await nia.open("/cancel")
    nia.use_session_of(person, form_token="u" * 32)  # as after a sign-in in another tab
    again = await nia.submit(page, "/cancel", when="now", comment="Too many articles")
    assert (again.status, "You have signed in again since this page was opened" in again.text) == (403, True)
    values = again.form("/cancel").values()
    assert (values["when"], values["comment"]) == ("now", "Too many articles")
    assert "It renews" in (await nia.open("/")).text
    assert "Your subscription has ended." in (await nia.submit(again, "/cancel")).text


async def test_a_form_stays_filled_in_if_another_tab_signs_out_and_in(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person(SUB)
    await shop.subscribe(person)
    ada = await open_account(person)
    page = await ada.open("/cancel")
    out = await ada.submit(await ada.open("/"), "/sign-out")  # in another tab
    (link,) = (one for one in out.find("a") if one.text == "Sign in")
    await ada.enter_password(await ada.browser.open(out.resolve(link.attributes["href"])))
    again = await ada.submit(page, "/cancel", when="now", comment="Too many articles")
    assert (again.status, "You have signed in again since this page was opened" in again.text) == (403, True)
    values = again.form("/cancel").values()
    assert (values["when"], values["comment"]) == ("now", "Too many articles")
    assert "It renews" in (await ada.open("/")).text
    assert "Your subscription has ended." in (await ada.submit(again, "/cancel")).text


async def test_a_kept_form_is_not_shown_to_another_person(shop: Shop, open_account: OpenAccount) -> None:
    nia, ben = shop.person("nia"), shop.person("ben")
    await shop.subscribe(nia)
    await shop.subscribe(ben)
    window = await open_account(nia)
    page = await window.open("/cancel")
    window.backdate(last_used_at=timedelta(hours=2))
    await window.submit(page, "/cancel", when="now", comment="private")
    window.use_session_of(ben)
    assert "private" not in (await window.open("/cancel")).form("/cancel").values()["comment"]


async def test_signing_out_ends_every_session_and_asks_for_the_password(shop: Shop, open_account: OpenAccount) -> None:
    ada, elsewhere = await open_account(), await open_account()
    page = await ada.sign_in()
    await elsewhere.sign_in()
    copied = elsewhere.session()
    shop.issuer.age_sign_ins(SUB, seconds=10)  # the provider's times are whole seconds
    gone = await ada.submit(page, "/sign-out")
    assert "You’re signed out" in gone.text
    assert ada.browser.cookies(COOKIE) == []
    elsewhere.use(copied)
    assert (await elsewhere.open("/")).url.startswith(shop.issuer.url)
    back = await ada.open("/")
    assert back.url.startswith(shop.issuer.url)
    assert "password" in back.form("/authorize").values()


@pytest.mark.parametrize("age", [timedelta(hours=2), timedelta(days=2)], ids=["idle", "from another day"])
async def test_signing_out_of_an_ended_session_signs_out(shop: Shop, open_account: OpenAccount, age: timedelta) -> None:
    ada = await open_account()
    page = await ada.sign_in()
    ada.backdate(last_used_at=age, started_at=age)
    shop.issuer.age_sign_ins(SUB, seconds=10)  # the provider's times are whole seconds
    gone = await ada.submit(page, "/sign-out")
    assert "You’re signed out" in gone.text
    assert ada.browser.cookies(COOKIE) == []
    back = await ada.open("/")
    assert back.url.startswith(shop.issuer.url)
    assert "password" in back.form("/authorize").values()


async def test_a_session_that_was_signed_out_signs_nobody_out(shop: Shop, open_account: OpenAccount) -> None:
    nia = shop.person("nia")
    thief, owner = await open_account(nia), await open_account(nia)
    page, copied = await thief.open("/"), thief.session()
    await owner.submit(await owner.open("/"), "/sign-out")
    owner.use_session_of(nia)
    for _ in range(2):
        thief.use(copied)
        assert "You’re signed out" in (await thief.submit(page, "/sign-out")).text
        assert thief.browser.cookies(COOKIE) == []
        assert (await owner.open("/")).url == f"{shop.url}/account/"


async def test_a_page_of_an_earlier_session_signs_out(shop: Shop, open_account: OpenAccount) -> None:
    ada = await open_account()
    page = await ada.sign_in()
    for _ in range(2):  # in another tab
        ada.backdate(last_used_at=timedelta(hours=2))
        assert (await ada.open("/subscribe")).url == f"{shop.url}/account/subscribe"
    assert ada.session().form_token not in page.text
    assert "You’re signed out" in (await ada.submit(page, "/sign-out")).text
    assert ada.browser.cookies(COOKIE) == []


async def test_sign_ins_in_two_tabs_both_succeed(shop: Shop, open_account: OpenAccount) -> None:
    ada = await open_account()
    one, two = await ada.open("/"), await ada.open("/subscribe")
    assert (await ada.enter_password(one)).url == f"{shop.url}/account/"
    assert (await ada.enter_password(two)).url == f"{shop.url}/account/subscribe"


async def test_the_identity_provider_ends_a_session_once_for_each_token(shop: Shop, open_account: OpenAccount) -> None:
    nia = await open_account(shop.person("nia"))
    token = shop.issuer.logout_token(sub="nia", sid=None, aud="newsstand-account")
    url = f"{shop.url}/account/backchannel-logout"
    assert (await nia.browser._client.post(url, data={"logout_token": token})).status_code == 200
    assert (await nia.open("/")).url.startswith(shop.issuer.url)
    assert (await nia.browser._client.post(url, data={"logout_token": token})).status_code == 400
    other = shop.issuer.logout_token(sub="nia", sid=None)  # of the console
    assert (await nia.browser._client.post(url, data={"logout_token": other})).status_code == 400


@pytest.mark.parametrize("name", NAMES, ids=["long", "HTML", "right to left", "emoji", "punctuation"])
def test_any_name_fits_into_the_session(name: str) -> None:
    now = datetime.now(UTC)
    reader = Reader(sub="s" * 255, email="e" * 242 + "@example.com", name=name)
    session = ReaderSession.start(reader, now=now)
    value = CIPHER.encrypt(session.pack(), now=now)
    assert len(value) <= 3900
    assert ReaderSession.unpack(CIPHER.decrypt(value, max_age=timedelta(hours=1), now=now) or {}) == session


async def test_any_name_is_shown_as_text(shop: Shop, open_account: OpenAccount) -> None:
    for name in NAMES:
        nia = await open_account(shop.person("nia"), name=name)
        page = await nia.open("/")
        assert next(one.text for one in page.find("bdi")) == " ".join(name.split())
        assert not list(page.find("script"))


async def test_two_tabs_refund_once_and_the_second_says_why(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    first, second = await nia.open("/refund"), await nia.open("/refund")
    await nia.submit(first, "/refund")
    late = await nia.submit(second, "/refund")
    assert late.status == 409
    assert "No refund available" in late.text
    assert len(await shop.rows("SELECT id FROM refunds")) == 1


async def test_refund_forms_with_different_keys_pay_once(shop: Shop, open_account: OpenAccount) -> None:
    """A refused attempt gives the form a new key, so only the quote keeps the reader from a second refund."""
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    page = await nia.open("/refund")
    refused = await nia.submit(page, "/refund", amount="4800")
    assert (refused.status, len(await shop.rows("SELECT id FROM refunds"))) == (409, 0)
    forms = [page, refused, *[await nia.open("/refund") for _ in range(3)]]
    assert len({one.form("/refund").values()["key"] for one in forms}) == 5
    assert refused.form("/refund").values()["amount"] == "4900"

    answers = await asyncio.gather(*(nia.submit(one, "/refund", amount="4900") for one in forms))

    assert sum("We’ve refunded $49 to your card." in one.text for one in answers) >= 1
    assert {one.status for one in answers} <= {200, 409}
    late = await nia.submit(refused, "/refund")
    assert late.status in {200, 409}
    (payment,) = await shop.rows("SELECT id FROM payments")
    found = await shop.stripe_get("/v1/refunds", payment_intent=payment["id"])
    assert [one["amount"] for one in found["data"]] == [4900]
    assert len(await shop.rows("SELECT id FROM refunds")) == 1


async def test_an_invalid_form_stays_on_its_page_with_what_was_entered(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    page = await nia.open("/cancel")
    long = await nia.submit(page, "/cancel", comment="x" * 1001)
    assert (long.status, long.form("/cancel").values()["comment"]) == (422, "x" * 1001)
    assert "Use 1,000 characters or fewer." in long.text
    unknown = await nia.submit(page, "/cancel", when="tomorrow")
    assert "Choose when your subscription should end." in unknown.text
    changed = await nia.submit(await nia.open("/refund"), "/refund", amount="4800")
    assert (changed.status, "$49" in changed.text) == (409, True)
    damaged = await nia.submit(await nia.open("/refund"), "/refund", amount="-1")
    assert damaged.status == 422
    assert "It renews on March 1, 2027." in (await nia.open("/")).text
    assert await shop.rows("SELECT id FROM refunds") == []


async def test_a_wrong_promotion_code_is_named_and_the_choice_is_kept(shop: Shop, open_account: OpenAccount) -> None:
    nia = await open_account(shop.person("nia"))
    page = await nia.submit(await nia.open("/subscribe"), "/subscribe", choice="annual:print", code="NOPE")
    assert page.status == 409
    assert "The code “NOPE” isn’t valid or has expired." in page.text
    values = page.form("/subscribe").values()
    assert (values["choice"], values["code"]) == ("annual:print", "NOPE")


async def test_an_outage_of_stripe_is_explained_and_changes_nothing(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    page = await nia.open("/")
    for method, path in (("POST", "/v1/billing_portal/sessions"), ("GET", "/v1/invoices")):
        await shop.add_fault(method=method, path=path, when="before", action="status", status=500, times=None)
    refused = await nia.submit(page, "/card")
    assert refused.status == 503
    assert "Our payment processor isn’t responding." in refused.text
    invoices = await nia.open("/invoices")
    assert (invoices.status, "try again in a minute" in invoices.text) == (503, True)


async def test_a_reader_who_sends_too_much_has_to_wait(database: str, sandbox: Any, issuer: Any) -> None:
    limited = {**SETTINGS, "limit_stripe": Rate(2, timedelta(hours=1))}
    async with open_shop(database, sandbox, issuer, **limited) as shop, patient_browser() as browser:
        nia = AccountBrowser(shop, browser)
        nia.use_session_of(shop.person("nia"))
        assert [(await nia.open("/invoices")).status for _ in range(3)] == [200, 200, 429]
