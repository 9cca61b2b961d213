"""How long a session lasts, and what ends it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.console.sessions import SessionCookie
from app.domain.staff_sessions import StoredSession
from app.pages.cookies import CookieCipher
from tests.console.conftest import SESSION_KEY, OpenConsole
from tests.support.busy_machine import patient_browser
from tests.support.shop import Shop

STARTED_AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
LIFETIME, IDLE = timedelta(hours=8), timedelta(hours=1)
MINUTE = timedelta(minutes=1)
CIPHER = CookieCipher(SESSION_KEY, purpose="console: session")
ROBIN = StoredSession(
    id="ses_1",
    sub="robin",
    name="Robin",
    roles=frozenset({"support"}),
    sid=None,
    started_at=STARTED_AT,
    signed_in_at=STARTED_AT,
    acr=None,
    checked_at=STARTED_AT,
)
COOKIE = SessionCookie.start(ROBIN)


def from_cookie(value: str, *, now: datetime) -> SessionCookie | None:
    return SessionCookie.from_value(value, CIPHER, idle=IDLE, now=now)


@pytest.mark.parametrize(
    ("idle_for", "valid"),
    [
        pytest.param(timedelta(0), True, id="just used"),
        pytest.param(IDLE - MINUTE, True, id="used less than an hour ago"),
        pytest.param(IDLE + MINUTE, False, id="not used for more than an hour"),
        pytest.param(timedelta(days=30), False, id="not used for a month"),
    ],
)
def test_unused_session_expires(idle_for: timedelta, *, valid: bool) -> None:
    last_used_at = STARTED_AT + timedelta(hours=2)
    value = COOKIE.to_value(CIPHER, now=last_used_at)
    assert (from_cookie(value, now=last_used_at + idle_for) is not None) is valid


@pytest.mark.parametrize(
    ("age", "changes", "is_open"),
    [
        pytest.param(LIFETIME - MINUTE, {}, True, id="a minute under eight hours"),
        pytest.param(LIFETIME, {}, False, id="exactly eight hours"),
        pytest.param(-MINUTE, {}, False, id="from the future"),
        pytest.param(MINUTE, {"ended_at": STARTED_AT}, False, id="ended"),
        pytest.param(MINUTE, {"signed_out_at": STARTED_AT - MINUTE}, True, id="signed out before"),
        pytest.param(MINUTE, {"signed_out_at": STARTED_AT}, False, id="signed out since"),
    ],
)
def test_session_ends(age: timedelta, changes: dict[str, datetime], *, is_open: bool) -> None:
    assert replace(ROBIN, **changes).is_open(lifetime=LIFETIME, now=STARTED_AT + age) is is_open  # type: ignore[arg-type]


def test_cookie_of_another_key_or_purpose_is_invalid() -> None:
    other_purpose = COOKIE.to_value(CookieCipher(SESSION_KEY, purpose="console: notice"), now=STARTED_AT)
    assert from_cookie(other_purpose, now=STARTED_AT) is None
    other_key = COOKIE.to_value(CookieCipher(SESSION_KEY + "!", purpose="console: session"), now=STARTED_AT)
    assert from_cookie(other_key, now=STARTED_AT) is None


@pytest.mark.parametrize(
    ("age", "idle_for"),
    [
        pytest.param(timedelta(hours=2), timedelta(minutes=61), id="idle for too long"),
        pytest.param(timedelta(hours=8, minutes=1), timedelta(seconds=1), id="too old"),
    ],
)
async def test_expired_session_redirects_to_sign_in_and_its_forms_are_refused(
    shop: Shop, open_console: OpenConsole, age: timedelta, idle_for: timedelta
) -> None:
    robin = await open_console("agent@example.com")
    await robin.backdate(idle_for=idle_for, started_at=age)
    page = await robin.browser._client.get(f"{shop.url}/console/readers?q=ada", follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (
        303,
        "/console/sign-in?next=%2Fconsole%2Freaders%3Fq%3Dada",
    )
    sent = await robin.post("/sign-out", {}, origin=shop.url)
    assert sent.status == 403
    assert "Your session has expired, so nothing was changed" in sent.text


@pytest.mark.parametrize("idle_for", [timedelta(minutes=61), timedelta(days=2)], ids=["idle", "from another day"])
async def test_sign_out_of_an_expired_session_signs_the_person_out(
    shop: Shop, open_console: OpenConsole, idle_for: timedelta
) -> None:
    robin = await open_console("agent@example.com")
    page = await robin.open("/")
    await robin.backdate(idle_for=idle_for)
    shop.issuer.age_sign_ins("staff-agent", seconds=10)  # the provider's times are whole seconds
    out = await robin.submit(page, "/sign-out")
    assert out.url.endswith("/console/signed-out")
    assert robin.browser.cookies("newsstand_console") == []
    back = await robin.open("/readers")
    assert back.url.startswith(shop.issuer.url)
    assert "password" in back.form("/authorize").values(), "the provider asks for the credentials again"


@pytest.mark.parametrize(
    "ended_by",
    [
        "UPDATE staff_sessions SET ended_at = now()",
        "WITH gone AS (DELETE FROM staff_sessions) INSERT INTO sign_outs (sub, at) VALUES ('staff-agent', now())",
    ],
    ids=["ended", "signed out, and its row deleted"],
)
async def test_a_session_that_was_ended_signs_nobody_out(shop: Shop, open_console: OpenConsole, ended_by: str) -> None:
    thief = await open_console("agent@example.com")
    page, (copied,) = await thief.open("/"), thief.browser.cookies("newsstand_console")
    await shop.execute(ended_by)
    robin = await open_console()
    await robin.sign_in("agent@example.com")
    for _ in range(2):
        thief.browser._client.cookies.set("newsstand_console", copied, domain="127.0.0.1", path="/console")
        out = await thief.submit(page, "/sign-out")
        assert out.url.endswith("/console/signed-out")
        assert thief.browser.cookies("newsstand_console") == []
        assert (await robin.open("/readers")).url.endswith("/console/readers")
    assert await shop.rows("SELECT FROM audit_log WHERE action = 'console.signed_out'") == []


async def test_a_page_of_an_earlier_session_signs_out(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    oldest = await robin.open("/")
    for _ in range(2):  # in another tab
        await robin.backdate(idle_for=timedelta(hours=9))
        assert (await robin.open("/readers")).url.endswith("/console/readers")
    token = oldest.form("/sign-out").values()["form_token"]
    await robin.post("/readers/rdr_1/holds/hld_1/lift", {"form_token": token}, origin=shop.url)
    refused = await shop.rows("SELECT FROM audit_log WHERE action = 'console.form_refused'")
    assert len(refused) == 1, "it may only sign out"
    (others,) = sam.browser.cookies("newsstand_console")
    robin_jar = robin.browser._client.cookies
    (own,) = robin.browser.cookies("newsstand_console")
    robin_jar.set("newsstand_console", others, domain="127.0.0.1", path="/console")
    assert (await robin.submit(oldest, "/sign-out")).status == 403, "another person stays signed in"
    robin_jar.set("newsstand_console", own, domain="127.0.0.1", path="/console")
    assert (await robin.submit(oldest, "/sign-out")).url.endswith("/console/signed-out")
    assert await shop.rows("SELECT FROM staff_sessions WHERE ended_at IS NULL AND sub = 'staff-agent'") == []
    assert (await sam.open("/")).url == f"{shop.url}/console/"


def test_the_next_person_in_a_browser_accepts_no_earlier_page() -> None:
    later = [SessionCookie.start(replace(ROBIN, id=f"ses_{number}"), before=COOKIE) for number in range(2)]
    assert later[0].earlier == COOKIE.form_token
    assert SessionCookie.start(replace(ROBIN, sub="sam"), before=later[1]).earlier == ""


async def test_session_in_use_stays_open_and_its_cookie_is_renewed(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await robin.backdate(idle_for=timedelta(minutes=59), started_at=timedelta(hours=7))
    assert (await robin.open("/readers?q=ada")).url.endswith("/console/readers?q=ada")
    (value,) = robin.browser.cookies("newsstand_console")
    renewed = from_cookie(value, now=datetime.now(UTC))
    assert renewed is not None
    assert datetime.now(UTC) - renewed.last_used_at < timedelta(minutes=5)


async def test_sign_out_ends_all_sessions_of_the_person(shop: Shop, open_console: OpenConsole) -> None:
    at_work, at_home = await open_console("agent@example.com"), await open_console("agent@example.com")
    sam = await open_console("supervisor@example.com")
    (copied,), session_id = at_work.browser.cookies("newsstand_console"), at_work.session().id

    await at_work.submit(await at_work.open("/"), "/sign-out")

    async with patient_browser(follow=False) as thief:
        thief._client.cookies.set("newsstand_console", copied, domain="127.0.0.1", path="/console")
        assert (await thief.open(f"{shop.url}/console/")).status == 303
    at_home_now = await at_home.browser._client.get(f"{shop.url}/console/", follow_redirects=False)
    assert at_home_now.status_code == 303, "the other browser of the same person is signed out"
    assert (await sam.open("/")).status == 200, "other people stay signed in"
    page = await (await open_console()).sign_in("agent@example.com")
    assert page.status == 200, "the person can sign in again"
    written = await shop.rows(
        "SELECT actor, after ->> 'session' AS session FROM audit_log WHERE action = 'console.signed_out'"
    )
    assert written == [{"actor": "staff:staff-agent", "session": session_id}]
