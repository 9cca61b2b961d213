"""A simulated year: each mailbox holds exactly the messages that the policy owed, says an independent model."""

import os
from collections import defaultdict
from datetime import datetime, timedelta
from random import Random, SystemRandom

import pytest

from tests.support.mail_oracle import AHEAD, ToldReader
from tests.support.mailbox import Mailbox
from tests.support.notices import reach
from tests.support.shop import START_TIME, Person, Shop

SEED = int(os.environ.get("NEWSSTAND_TEST_SEED") or SystemRandom().getrandbits(32))
AN_HOUR = timedelta(hours=1)


async def act(shop: Shop, reader: Person, told: ToldReader, rng: Random, now: datetime, refunded: set[str]) -> None:
    """Let a reader do something, or nothing, here and in the model."""
    if told.renews_at is None:
        if rng.random() < 0.6:
            await shop.subscribe(reader)
            told.subscribe(now)
        return
    held = (await shop.overview(reader))["subscriptions"][-1]
    choice = rng.choice(["cancel", "resume", "move", "refund", "nothing", "nothing"])
    if choice == "cancel" and not told.ends:
        await shop.post("/v1/me/subscription/cancel", reader, {"when": "period_end"})
        told.cancel()
    elif choice == "resume" and told.ends:
        await shop.post("/v1/me/subscription/resume", reader)
        told.resume(now)
    elif choice == "move" and not told.ends:
        later = (told.renews_at + timedelta(days=rng.randint(1, 80))).replace(microsecond=0)
        moved = {"trial_end": str(int(later.timestamp())), "proration_behavior": "none"}
        await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", **moved)
        told.move(later, now)
    elif choice == "refund" and reader.sub not in refunded:
        payment = (await shop.overview(reader))["payments"][-1]
        answer = await shop.request_refund(payment["id"], key=f"{reader.sub}-{now:%j%Y}")
        if answer.status_code == 201:  # otherwise the guarantee has ended
            refunded.add(reader.sub)
            told.refund()


async def simulate(shop: Shop, mail: Mailbox, *, readers: int, days: int, step: tuple[int, int]) -> None:
    print(f"NEWSSTAND_TEST_SEED={SEED}")  # shown with a failure
    rng, now, refunded = Random(SEED), START_TIME, set[str]()
    people = [(shop.person(f"reader-{number}"), ToldReader()) for number in range(readers)]
    while now < START_TIME + timedelta(days=days):
        for reader, told in people:
            await act(shop, reader, told, rng, now, refunded)
        await shop.wait_until_idle()
        # A test clock jumps. A jump over both a notice and its renewal would be an outage of a month.
        due = [told.renews_at - AHEAD + AN_HOUR for _, told in people if told.renews_at is not None]
        stops = [at for at in due if at > now]
        now = min([now + timedelta(days=rng.randint(*step), hours=5), *stops])
        await reach(shop, now)
        for _, told in people:
            told.live_until(now)
        received: defaultdict[str, list[str]] = defaultdict(list)
        for message in mail.received:
            received[message.to].append(message.subject)
        for reader, told in people:
            assert sorted(received[reader.email]) == sorted(told.owed), (reader.sub, now, SEED)


async def test_a_year_of_mail_is_exactly_what_was_owed(mailing_shop: Shop, mail: Mailbox) -> None:
    await simulate(mailing_shop, mail, readers=3, days=420, step=(25, 80))


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_two_years_of_mail_of_many_readers_are_what_was_owed(mailing_shop: Shop, mail: Mailbox) -> None:
    await simulate(mailing_shop, mail, readers=10, days=760, step=(10, 60))
