"""Notices that are due earlier where the law of the reader's place wants it, and the yearly reminder of a monthly plan."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.notifications.test_cards import EXPIRED, subscribe_with_card_of_december
from tests.journeys.subscribing.test_promotion_codes import create_code
from tests.support.mailbox import Mailbox
from tests.support.notices import (
    CALIFORNIA,
    ILLINOIS,
    MONTHLY,
    entry,
    german,
    live_in,
    open_mailing_shop,
    reach,
    scheduled,
)
from tests.support.shop import START_TIME, Person, Shop
from tests.support.trials import start_trial

DAY, AN_HOUR = timedelta(days=1), timedelta(hours=1)
A_YEAR = START_TIME.replace(year=2027)
KINDS = ("trial_ending", "promotion_ending", "card_expiring", "yearly_reminder")
BY_PLACE = "".join(entry(kind, 10) + entry(kind, 20, "US-CA") for kind in KINDS)


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any, mail: Mailbox, tmp_path: Path) -> AsyncIterator[Shop]:
    """Provide a shop with a monthly plan, in which Californians are told 20 days ahead and others 10."""
    async with open_mailing_shop(database, sandbox, issuer, mail, tmp_path, MONTHLY, BY_PLACE) as opened:
        yield opened


async def _promotion(shop: Shop, reader: Person) -> None:
    await create_code(shop, f"HALF-{reader.sub}".upper())
    await shop.subscribe(reader, promotion_code=f"HALF-{reader.sub}".upper())


async def _monthly(shop: Shop, reader: Person) -> None:
    await shop.subscribe(reader, plan="monthly")


@pytest.mark.parametrize(
    ("kind", "begin", "event", "subject"),
    [
        pytest.param("trial_ending", start_trial, START_TIME + 30 * DAY, "Your free trial ends on", id="trial"),
        pytest.param("promotion_ending", _promotion, A_YEAR, "Your introductory price ends on", id="promotion"),
        pytest.param("card_expiring", subscribe_with_card_of_december, EXPIRED, "Your card expires", id="card"),
        pytest.param("yearly_reminder", _monthly, A_YEAR, "Your subscription to Slow Ferry", id="year"),
    ],
)
async def test_a_notice_is_due_on_the_right_day_for_the_readers_place(
    shop: Shop, mail: Mailbox, kind: str, begin: Callable[[Shop, Person], Awaitable[object]], event: Any, subject: str
) -> None:
    ada, ben = shop.person(), shop.person("ben")
    await begin(shop, ada)
    await live_in(shop, ada, CALIFORNIA)
    await begin(shop, ben)
    await live_in(shop, ben, ILLINOIS)
    in_california, elsewhere = event - 20 * DAY, event - 10 * DAY
    assert await scheduled(shop) == [("ada", kind, in_california), ("ben", kind, elsewhere)]

    await live_in(shop, ben, CALIFORNIA)
    assert await scheduled(shop) == [("ada", kind, in_california), ("ben", kind, in_california)]
    await live_in(shop, ben, ILLINOIS)

    told = []
    for moment in (in_california - AN_HOUR, in_california + AN_HOUR, elsewhere - AN_HOUR, elsewhere + AN_HOUR):
        await reach(shop, moment, step=50 * DAY)
        told.append([one.to for one in mail.received])
    assert told == [[], [ada.email], [ada.email], [ada.email, ben.email]]
    assert all(one.subject.startswith(subject) for one in mail.received)


async def test_a_yearly_reminder_names_the_price_and_is_stopped_by_a_cancellation(shop: Shop, mail: Mailbox) -> None:
    ada, ben = german(shop), shop.person("ben")
    for reader in (ada, ben):
        await _monthly(shop, reader)
    due = A_YEAR - 20 * DAY  # their state is unknown, and may be California
    assert await scheduled(shop) == [(sub, "yearly_reminder", due) for sub in ("ada", "ben")]

    await shop.post("/v1/me/subscription/cancel", ben, {"when": "period_end"})
    assert [sub for sub, _, _ in await scheduled(shop)] == ["ada"]
    await reach(shop, due + AN_HOUR, step=50 * DAY)
    (told,) = await mail.wait_for()
    await reach(shop, A_YEAR + AN_HOUR)

    assert told.subject == "Ihr Abo von Slow Ferry"
    assert "Sie haben Slow Ferry (Two Issues a Month) seit dem 1. März 2026 abonniert." in told.text
    assert "Die nächste Abbuchung ist am 1. März 2027." in told.text
    assert "jeden Monat" in told.text
    next_year = A_YEAR.replace(year=2028) - 20 * DAY
    assert await scheduled(shop) == [("ada", "yearly_reminder", next_year)]
    assert [one.to for one in mail.received] == [ada.email]


async def test_a_reminder_on_the_anniversary_names_the_charge_after_that_days_renewal(
    database: str, sandbox: Any, issuer: Any, mail: Mailbox, tmp_path: Path
) -> None:
    async with open_mailing_shop(
        database, sandbox, issuer, mail, tmp_path, MONTHLY, entry("yearly_reminder", 0)
    ) as opened:
        ada = opened.person()
        await _monthly(opened, ada)
        await reach(opened, A_YEAR + AN_HOUR, step=50 * DAY)

        (told,) = await mail.wait_for()

        assert "The next charge is on April 1, 2027." in told.text
        assert await scheduled(opened) == [("ada", "yearly_reminder", A_YEAR.replace(year=2028))]
