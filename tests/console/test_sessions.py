"""How long a session lasts, and what ends it."""

from datetime import UTC, datetime, timedelta

import pytest

from app.console.cookies import CookieCipher
from app.console.sessions import StaffSession
from app.domain.callers import Reader, Role
from demo.browser import Browser
from tests.console.conftest import SESSION_KEY, OpenConsole
from tests.support.shop import Shop

STARTED_AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
LIFETIME, IDLE = timedelta(hours=8), timedelta(hours=1)
MINUTE = timedelta(minutes=1)
CIPHER = CookieCipher(SESSION_KEY, purpose="staff")
ROBIN = StaffSession.start(Reader(sub="robin", name="Robin", roles=frozenset({Role.SUPPORT})), now=STARTED_AT)


def from_cookie(value: str, *, now: datetime) -> StaffSession | None:
    return StaffSession.from_cookie(value, CIPHER, lifetime=LIFETIME, idle=IDLE, now=now)


def is_valid(*, last_used_at: datetime, now: datetime) -> bool:
    """Return whether the session of Robin, who signed in at nine, is still valid."""
    return from_cookie(ROBIN.to_cookie(CIPHER, now=last_used_at), now=now) is not None


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
    assert is_valid(last_used_at=last_used_at, now=last_used_at + idle_for) is valid


@pytest.mark.parametrize(
    ("age", "valid"),
    [
        pytest.param(LIFETIME - MINUTE, True, id="a minute under eight hours"),
        pytest.param(LIFETIME, False, id="exactly eight hours"),
        pytest.param(LIFETIME + MINUTE, False, id="over eight hours"),
    ],
)
def test_session_expires_after_its_lifetime_even_if_it_is_used(age: timedelta, *, valid: bool) -> None:
    now = STARTED_AT + age
    assert is_valid(last_used_at=now - timedelta(seconds=1), now=now) is valid


def test_session_from_the_future_or_of_another_key_is_invalid() -> None:
    assert not is_valid(last_used_at=STARTED_AT, now=STARTED_AT - timedelta(hours=1))
    other_purpose = ROBIN.to_cookie(CookieCipher(SESSION_KEY, purpose="notice"), now=STARTED_AT)
    assert from_cookie(other_purpose, now=STARTED_AT) is None
    other_key = ROBIN.to_cookie(CookieCipher(SESSION_KEY + "!", purpose="staff"), now=STARTED_AT)
    assert from_cookie(other_key, now=STARTED_AT) is None


def cookie_of(age: timedelta, idle_for: timedelta) -> str:
    """Return the cookie of a session of this age that was last used some time ago."""
    now = datetime.now(UTC)
    staff = StaffSession.start(Reader(sub="staff-agent", name="Robin", roles=frozenset({Role.SUPPORT})), now=now - age)
    return staff.to_cookie(CIPHER, now=now - idle_for)


@pytest.mark.parametrize(
    ("age", "idle_for"),
    [
        pytest.param(timedelta(hours=2), timedelta(minutes=61), id="idle for too long"),
        pytest.param(timedelta(hours=8, minutes=1), timedelta(seconds=1), id="too old"),
    ],
)
async def test_expired_session_redirects_to_sign_in_and_its_forms_are_refused(
    shop: Shop, age: timedelta, idle_for: timedelta
) -> None:
    async with Browser(follow=False) as late:
        late._client.cookies.set("newsstand_console", cookie_of(age, idle_for), domain="127.0.0.1", path="/console")
        page = await late.open(f"{shop.url}/console/readers?q=ada")
        assert (page.status, page.location) == (303, "/console/sign-in?next=%2Fconsole%2Freaders%3Fq%3Dada")
        sent = await late._client.post(f"{shop.url}/console/sign-out", headers={"Origin": shop.url})
        assert sent.status_code == 403
        assert "Your session has expired, so nothing was changed" in sent.text
    async with Browser(follow=False) as early:
        fresh = cookie_of(timedelta(hours=7), timedelta(minutes=59))
        early._client.cookies.set("newsstand_console", fresh, domain="127.0.0.1", path="/console")
        assert (await early.open(f"{shop.url}/console/readers?q=ada")).status == 200


async def test_renewed_session_keeps_its_start(shop: Shop) -> None:
    async with Browser(follow=False) as robin:
        age = timedelta(hours=7)
        robin._client.cookies.set(
            "newsstand_console", cookie_of(age, timedelta(minutes=30)), domain="127.0.0.1", path="/console"
        )
        assert (await robin.open(f"{shop.url}/console/readers")).status == 200
        (cookie,) = robin.cookies("newsstand_console")
        renewed = from_cookie(cookie, now=datetime.now(UTC))
        assert renewed is not None
        assert datetime.now(UTC) - renewed.last_used_at < timedelta(minutes=5)
        assert datetime.now(UTC) - renewed.started_at >= age


async def test_sign_out_ends_all_sessions_of_the_person(shop: Shop, open_console: OpenConsole) -> None:
    at_work, at_home = await open_console("agent@example.com"), await open_console("agent@example.com")
    sam = await open_console("supervisor@example.com")
    (copied,) = at_work.browser.cookies("newsstand_console")

    await at_work.submit(await at_work.open("/"), "/sign-out")

    async with Browser(follow=False) as thief:
        thief._client.cookies.set("newsstand_console", copied, domain="127.0.0.1", path="/console")
        assert (await thief.open(f"{shop.url}/console/")).status == 303
    at_home_now = await at_home.browser._client.get(f"{shop.url}/console/", follow_redirects=False)
    assert at_home_now.status_code == 303, "the other browser of the same person is signed out"
    assert (await sam.open("/")).status == 200, "other people stay signed in"
    page = await (await open_console()).sign_in("agent@example.com")
    assert page.status == 200, "the person can sign in again"
    written = await shop.rows("SELECT actor FROM audit_log WHERE action = 'console.signed_out'")
    assert written == [{"actor": "staff:staff-agent"}]
