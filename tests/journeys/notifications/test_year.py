"""A simulated year: each mailbox holds exactly the messages that the policy owed, says an independent model."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.journeys.subscribing.test_promotion_codes import create_code
from tests.support.mail_oracle import ZONE, ToldReader, expired_at
from tests.support.mailbox import Mailbox
from tests.support.notices import reach
from tests.support.randomness import fixed_seeds, seeded
from tests.support.shop import START_TIME, Person, Shop

AN_HOUR = timedelta(hours=1)


async def subscribe(shop: Shop, reader: Person, told: ToldReader, rng: Random, now: datetime) -> None:
    """Subscribe: some with a card that expires within months, some with a promotion code."""
    code: dict[str, Any] = {"promotion_code": "HALF"} if rng.random() < 0.4 else {}
    expires, card = None, "12 / 40"
    if rng.random() < 0.6:
        months = now.astimezone(ZONE).month + rng.randint(0, 14)
        year, month = now.year + months // 12, months % 12 + 1
        expires, card = expired_at(year, month), f"{month:02} / {year % 100}"
    opened = await shop.open_checkout(reader, **code)
    assert opened.status_code == 201, opened.text
    paid = await shop.pay_checkout(opened.json()["url"], card_expiry=card)
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()
    told.subscribe(now, expires=expires, is_promotion=bool(code))


async def use_card(shop: Shop, reader: Person, stripe_id: str, method: str) -> None:
    (customer,) = [one for one in await shop.stripe_customers() if one["email"] == reader.email]
    card = await shop.stripe_post(f"/v1/payment_methods/{method}/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=card["id"])


async def pay(shop: Shop, reader: Person, told: ToldReader, stripe_id: str) -> None:
    """Pay the renewal that has failed, with a new card."""
    await use_card(shop, reader, stripe_id, "pm_card_visa")
    (invoice,) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id, status="open"))["data"]
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay")
    told.pay()


async def act(shop: Shop, reader: Person, told: ToldReader, rng: Random, now: datetime, refunded: set[str]) -> None:
    """Let a reader do something, or nothing, here and in the model."""
    if told.renews_at is None:
        if rng.random() < 0.6:
            await subscribe(shop, reader, told, rng, now)
        return
    held = (await shop.overview(reader))["subscriptions"][-1]
    if told.is_unpaid:
        await pay(shop, reader, told, held["stripe_id"])
        return
    choice = rng.choice(["cancel", "resume", "move", "refund", "bad card", "nothing", "nothing"])
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
    elif choice == "bad card":
        await use_card(shop, reader, held["stripe_id"], "pm_card_chargeCustomerFail")
        told.use_bad_card()
    elif choice == "refund" and reader.sub not in refunded:
        payment = (await shop.overview(reader))["payments"][-1]
        amount = 24_50 if told.is_promotion else 49_00
        answer = await shop.request_refund(payment["id"], key=f"{reader.sub}-{now:%j%Y}", amount=amount)
        if answer.status_code == 201:  # otherwise the guarantee has ended
            refunded.add(reader.sub)
            told.refund()


def next_stop(people: Sequence[ToldReader], now: datetime, wanted: datetime) -> datetime:
    """
    Return when readers act again: at a wanted time, or earlier.

    A test clock jumps. A jump over both a notice and its renewal would be an outage of a month. A renewal is charged an hour
    after it begins, and who is declined pays soon.
    """
    due = [at + AN_HOUR for told in people for at in told.due()]
    charged = [told.renews_at + 2 * AN_HOUR for told in people if told.will_fail and told.renews_at is not None]
    stop = min([wanted, *(at for at in [*due, *charged] if at > now)])
    return max([stop, *(at for at in charged if at - 2 * AN_HOUR <= stop < at)])


async def simulate(shop: Shop, mail: Mailbox, *, seed: int, readers: int, days: int, step: tuple[int, int]) -> None:
    rng, now, refunded = seeded(seed), START_TIME, set[str]()
    people = [(shop.person(f"reader-{number}"), ToldReader()) for number in range(readers)]
    await create_code(shop, "HALF")
    while now < START_TIME + timedelta(days=days):
        for reader, told in people:
            await act(shop, reader, told, rng, now, refunded)
        await shop.wait_until_idle()
        now = next_stop([told for _, told in people], now, now + timedelta(days=rng.randint(*step), hours=5))
        await reach(shop, now)
        for _, told in people:
            told.live_until(now)
        received: defaultdict[str, list[str]] = defaultdict(list)
        for message in mail.received:
            received[message.to].append(message.subject)
        for reader, told in people:
            assert sorted(received[reader.email]) == sorted(told.owed), (reader.sub, now, seed)
    print(Counter(" ".join(message.subject.split()[:4]) for message in mail.received))


@pytest.mark.parametrize("seed", fixed_seeds(2))
async def test_a_year_of_mail_is_exactly_what_was_owed(mailing_shop: Shop, mail: Mailbox, seed: int) -> None:
    await simulate(mailing_shop, mail, seed=seed, readers=3, days=420, step=(25, 80))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", fixed_seeds(2))
async def test_two_years_of_mail_of_many_readers_are_what_was_owed(
    mailing_shop: Shop, mail: Mailbox, seed: int
) -> None:
    await simulate(mailing_shop, mail, seed=seed, readers=10, days=760, step=(10, 60))
