"""How long somebody stays signed in, and what ends it."""

from datetime import UTC, datetime, timedelta

import pytest

from app.console.cookies import Seal
from app.console.sessions import Staff, unsealed
from app.domain.callers import SUPPORT, Reader
from demo.browser import Browser
from tests.console.conftest import SESSION_KEY, Sit
from tests.support.shop import Shop

BEGAN = datetime(2026, 3, 1, 9, tzinfo=UTC)
LIFETIME, IDLE = timedelta(hours=8), timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SEAL = Seal(SESSION_KEY, purpose="staff")
ROBIN = Staff.of(Reader(sub="robin", name="Robin", roles=frozenset({SUPPORT})), now=BEGAN)


def holds(*, seen: datetime, now: datetime) -> bool:
    """Tell whether a session that began at nine and was used last at ``seen`` still holds."""
    return unsealed(ROBIN.sealed(SEAL, now=seen), SEAL, lifetime=LIFETIME, idle=IDLE, now=now) is not None


@pytest.mark.parametrize(
    ("idle_for", "holds_still"),
    [
        pytest.param(timedelta(0), True, id="just used"),
        pytest.param(IDLE - MINUTE, True, id="used less than an hour ago"),
        pytest.param(IDLE + MINUTE, False, id="not used for more than an hour"),
        pytest.param(timedelta(days=30), False, id="not used for a month"),
    ],
)
def test_a_session_that_nobody_uses_ends_by_itself(idle_for: timedelta, *, holds_still: bool) -> None:
    seen = BEGAN + timedelta(hours=2)
    assert holds(seen=seen, now=seen + idle_for) is holds_still


@pytest.mark.parametrize(
    ("old", "holds_still"),
    [
        pytest.param(LIFETIME - MINUTE, True, id="a minute before eight hours"),
        pytest.param(LIFETIME, False, id="at eight hours, to the second"),
        pytest.param(LIFETIME + MINUTE, False, id="later"),
    ],
)
def test_a_session_ends_after_its_lifetime_however_busily_it_is_used(old: timedelta, *, holds_still: bool) -> None:
    assert holds(seen=BEGAN + old - timedelta(seconds=1), now=BEGAN + old) is holds_still


def test_a_session_of_the_future_and_one_sealed_for_another_purpose_are_none() -> None:
    assert not holds(seen=BEGAN, now=BEGAN - timedelta(hours=1))
    other = ROBIN.sealed(Seal(SESSION_KEY, purpose="notice"), now=BEGAN)
    assert unsealed(other, SEAL, lifetime=LIFETIME, idle=IDLE, now=BEGAN) is None
    other = ROBIN.sealed(Seal(SESSION_KEY + "!", purpose="staff"), now=BEGAN)
    assert unsealed(other, SEAL, lifetime=LIFETIME, idle=IDLE, now=BEGAN) is None


def sealed_ago(began: timedelta, seen: timedelta) -> str:
    """Return the cookie of a session of Robin's that began, and was used last, so long ago."""
    now = datetime.now(UTC)
    staff = Staff.of(Reader(sub="staff-agent", name="Robin", roles=frozenset({SUPPORT})), now=now - began)
    return staff.sealed(SEAL, now=now - seen)


@pytest.mark.parametrize(
    ("began", "seen"),
    [
        pytest.param(timedelta(hours=2), timedelta(minutes=61), id="idle for too long"),
        pytest.param(timedelta(hours=8, minutes=1), timedelta(seconds=1), id="too old"),
    ],
)
async def test_an_expired_session_is_led_to_sign_in_and_its_forms_do_nothing(
    shop: Shop, began: timedelta, seen: timedelta
) -> None:
    async with Browser(follow=False) as late:
        late._client.cookies.set("newsstand_console", sealed_ago(began, seen), domain="127.0.0.1", path="/console")
        page = await late.open(f"{shop.url}/console/readers?q=ada")
        assert (page.status, page.location) == (303, "/console/sign-in?next=%2Fconsole%2Freaders%3Fq%3Dada")
        sent = await late._client.post(f"{shop.url}/console/sign-out", headers={"Origin": shop.url})
        assert sent.status_code == 403
        assert "Your sign-in has run out, so nothing was done" in sent.text
    async with Browser(follow=False) as early:
        fresh = sealed_ago(timedelta(hours=7), timedelta(minutes=59))
        early._client.cookies.set("newsstand_console", fresh, domain="127.0.0.1", path="/console")
        assert (await early.open(f"{shop.url}/console/readers?q=ada")).status == 200


async def test_a_session_that_is_used_is_kept_alive_and_does_not_live_longer_for_it(shop: Shop) -> None:
    async with Browser(follow=False) as robin:
        began = timedelta(hours=7)
        robin._client.cookies.set(
            "newsstand_console", sealed_ago(began, timedelta(minutes=30)), domain="127.0.0.1", path="/console"
        )
        assert (await robin.open(f"{shop.url}/console/readers")).status == 200
        (kept,) = robin.cookies("newsstand_console")
        again = unsealed(kept, SEAL, lifetime=LIFETIME, idle=IDLE, now=datetime.now(UTC))
        assert again is not None
        assert datetime.now(UTC) - again.seen < timedelta(minutes=5)
        assert datetime.now(UTC) - again.since >= began


async def test_signing_out_ends_the_session_in_every_browser_and_for_whoever_copied_it(shop: Shop, sit: Sit) -> None:
    at_work, at_home = await sit("agent@example.com"), await sit("agent@example.com")
    sam = await sit("supervisor@example.com")
    (copied,) = at_work.browser.cookies("newsstand_console")

    await at_work.sends(await at_work.open("/"), "/sign-out")

    async with Browser(follow=False) as thief:
        thief._client.cookies.set("newsstand_console", copied, domain="127.0.0.1", path="/console")
        assert (await thief.open(f"{shop.url}/console/")).status == 303
    at_home_now = await at_home.browser._client.get(f"{shop.url}/console/", follow_redirects=False)
    assert at_home_now.status_code == 303, "to sign in, where the provider may know them still"
    assert (await sam.open("/")).status == 200, "nobody else's"
    page = await (await sit()).signs_in("agent@example.com")
    assert page.status == 200, "and whoever signs in anew is in"
    written = await shop.rows("SELECT actor FROM audit_log WHERE action = 'console.signed_out'")
    assert written == [{"actor": "staff:staff-agent"}]
