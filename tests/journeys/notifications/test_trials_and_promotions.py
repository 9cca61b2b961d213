"""The end of a trial or a promotion: told a week ahead, moved with it, and not told to who leaves before."""

from datetime import timedelta

from tests.journeys.subscribing.test_promotion_codes import create_code
from tests.support.mailbox import Mailbox
from tests.support.notices import german, held_by, reach, scheduled
from tests.support.shop import START_TIME, Shop
from tests.support.trials import start_trial

DAY, AN_HOUR = timedelta(days=1), timedelta(hours=1)
TRIAL_ENDS = START_TIME + 30 * DAY  # March 31, 2026
A_YEAR = START_TIME.replace(year=2027)


async def test_the_end_of_a_trial_is_announced_once_a_week_ahead(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await start_trial(shop, ada)
    assert await scheduled(shop) == [("ada", "trial_ending", TRIAL_ENDS - 7 * DAY)]

    await reach(shop, TRIAL_ENDS - 7 * DAY - AN_HOUR)
    assert mail.received == []
    await reach(shop, TRIAL_ENDS - 7 * DAY + AN_HOUR)
    (told,) = await mail.wait_for()
    await reach(shop, TRIAL_ENDS + 3 * AN_HOUR)

    assert told.subject == "Your free trial ends on March 31, 2026"
    assert "We will then charge $49, plus tax where it applies, and each year after that until you cancel." in told.text
    assert "If you cancel before March 31, 2026, you won’t be charged." in told.text
    assert len(mail.received) == 1
    renewal = TRIAL_ENDS.replace(year=2027)
    assert await scheduled(shop) == [("ada", "renewal_ahead", renewal - 30 * DAY)], "from now on, it is a paid one"


async def test_a_longer_trial_moves_its_notice_and_a_cancellation_stops_it(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    trial = await start_trial(shop, ada)
    later = TRIAL_ENDS + 20 * DAY
    await shop.stripe_post(f"/v1/subscriptions/{trial}", trial_end=str(int(later.timestamp())))
    await shop.wait_until_idle()
    assert await scheduled(shop) == [("ada", "trial_ending", later - 7 * DAY)]

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    assert await scheduled(shop) == []
    await shop.post("/v1/me/subscription/resume", ada)
    assert await scheduled(shop) == [("ada", "trial_ending", later - 7 * DAY)]
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await reach(shop, later + 3 * AN_HOUR)

    assert {one.subject for one in mail.received} == {"Your subscription is canceled"}


async def test_the_end_of_a_trial_is_announced_in_german(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, german(mailing_shop)
    await start_trial(shop, ada)
    await shop.post("/v1/me/subscription/cancel-preview", ada)  # which says who reads

    await reach(shop, TRIAL_ENDS - 7 * DAY + AN_HOUR)
    (told,) = await mail.wait_for()

    assert told.subject == "Ihr Probeabo endet am 31. März 2026"
    assert "Wenn Sie vor dem 31. März 2026 kündigen, buchen wir nichts ab." in told.text


async def test_the_end_of_a_promotion_is_announced_once(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await create_code(shop, "HALF")
    await shop.subscribe(ada, promotion_code="HALF")
    assert await scheduled(shop) == [
        ("ada", "renewal_ahead", A_YEAR - 30 * DAY),
        ("ada", "promotion_ending", A_YEAR - 7 * DAY),
    ]

    await reach(shop, A_YEAR - 7 * DAY - AN_HOUR)
    assert [one.subject for one in await mail.wait_for()] == ["Your subscription renews on March 1, 2027"]
    await reach(shop, A_YEAR - 7 * DAY + AN_HOUR)
    told = (await mail.wait_for(2))[1]
    await reach(shop, A_YEAR + 3 * AN_HOUR)

    assert told.subject == "Your introductory price ends on March 1, 2027"
    assert "Your subscription then renews for $49, plus tax where it applies, and each year after that" in told.text
    assert len(mail.received) == 2
    assert [kind for _, kind, _ in await scheduled(shop)] == ["renewal_ahead"], "the next term has no promotion"


async def test_a_promotion_ends_unannounced_for_who_leaves_or_keeps_it(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada, ben = mailing_shop, mailing_shop.person(), mailing_shop.person("ben")
    await create_code(shop, "HALF")
    await create_code(shop, "FOREVER", coupon={"percent_off": "50", "duration": "forever"})
    await shop.subscribe(ada, promotion_code="HALF")
    await shop.subscribe(ben, promotion_code="FOREVER")
    assert ("ben", "promotion_ending") not in {one[:2] for one in await scheduled(shop)}
    later = A_YEAR + 40 * DAY
    moved = {"trial_end": str(int(later.timestamp())), "proration_behavior": "none"}
    await shop.stripe_post(f"/v1/subscriptions/{await held_by(shop, ada)}", **moved)
    await shop.wait_until_idle()
    assert await scheduled(shop, "promotion_ending") == [("ada", "promotion_ending", later - 7 * DAY)]

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})

    assert await scheduled(shop, "promotion_ending") == []
    assert [(one.to, one.subject) for one in await mail.wait_for()] == [(ada.email, "Your subscription is canceled")]
