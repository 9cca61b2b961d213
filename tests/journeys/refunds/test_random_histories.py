"""
Random concurrent actions of readers, staff, banks and Dashboard users: each refund is paid once, refunds never exceed
the payment, and our records match Stripe's.

A failing test prints its seed; set NEWSSTAND_TEST_SEED to repeat it.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.journeys.lifecycle.test_issues import two_years
from tests.journeys.refunds.test_paid_once import agents, supervisors
from tests.journeys.refunds.test_several_payments import add_print
from tests.support.randomness import fixed_seeds, random_seed, seeded
from tests.support.refunds import (
    GOODWILL,
    GUARANTEE,
    UNSERVED,
    check_books,
    decide_refund,
    get_quotes,
    payment_ids,
    request_refund,
)
from tests.support.shop import START_TIME, Person, Shop, open_shop

QUICK, MANY = 5, 16
STEPS, AT_ONCE = 3, 3
LATER = datetime(2026, 9, 1, 18, tzinfo=UTC)
# Expected error codes: rules, never server errors.
EXPECTED_CODES = {
    "refund_in_progress", "quote_changed", "nothing_to_refund", "nothing_unserved", "outside_guarantee", "guarantee_used",
    "not_the_first_payment", "payment_disputed", "refund_too_large", "own_request", "not_awaiting_approval",
    "idempotency_key_in_use", "paid_by_credit", "refund_refused", "already_ended",
}  # fmt: skip


class History:
    """A shop with many concurrent users."""

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self.shop, self.chance = shop, chance
        self.readers: list[Person] = []
        self.payments: dict[str, Person] = {}
        self.clicks = 0

    async def start(self, readers: int) -> None:
        """Subscribe readers, some with print at once and some later, and import the calendar."""
        await two_years(self.shop)
        for number in range(readers):
            reader = self.shop.person(f"reader-{number}")
            await self.shop.subscribe(reader, print_edition=self.chance.random() < 0.3)
            self.readers.append(reader)
        await self.shop.advance_to(START_TIME + timedelta(days=20))
        for reader in self.readers:
            (held,) = (await self.shop.overview(reader))["subscriptions"]
            if not held["print_edition"] and self.chance.random() < 0.5:
                await add_print(self.shop, reader)
            self.payments |= dict.fromkeys(await payment_ids(self.shop, reader), reader)

    async def run_actions(self) -> None:
        """Run several random actions on each payment concurrently."""
        doings = [self.run_action(payment) for payment in self.payments for _ in range(AT_ONCE)]
        self.chance.shuffle(doings)
        await asyncio.gather(*doings)
        await self.shop.wait_until_idle()

    async def run_action(self, payment: str) -> None:
        """Run one random action, or the same click twice."""
        doing: Callable[[str], Awaitable[None]] = self.chance.choice(
            [
                self.guarantee,
                self.click,
                self.unserved,
                self.goodwill,
                self.goodwill,
                self.decision,
                self.by_hand,
                self.bank,
            ]
        )
        await doing(payment)

    async def refund(self, payment: str, basis: str, amount: int) -> None:
        """Request the quoted refund once, or twice with the same key."""
        by = self.chance.choice(agents(self.shop))
        key = self._key()
        clicks = [
            request_refund(self.shop, payment, basis, amount, key=key, by=by)
            for _ in range(self.chance.choice((1, 1, 2)))
        ]
        for answer in await asyncio.gather(*clicks):
            check(answer)

    async def guarantee(self, payment: str) -> None:
        await self._as_quoted(payment, GUARANTEE)

    async def unserved(self, payment: str) -> None:
        await self._as_quoted(payment, UNSERVED)

    async def _as_quoted(self, payment: str, basis: str) -> None:
        amount = (await get_quotes(self.shop, payment))[basis]["amount"]["amount"]
        if amount > 0:
            await self.refund(payment, basis, amount)

    async def goodwill(self, payment: str) -> None:
        """Request goodwill for a part, or for an amount that requires approval."""
        await self.refund(payment, GOODWILL, self.chance.randrange(1, 45_00))

    async def click(self, payment: str) -> None:
        """Request a guarantee refund as the reader."""
        reader = self.payments[payment]
        quote = (await self.shop.get("/v1/me/refund-quote", reader)).json()
        if quote["amount"]["amount"] > 0:
            body = {"expected_amount": quote["amount"]}
            check(await self.shop.post("/v1/me/refunds", reader, body, **{"Idempotency-Key": self._key()}))

    async def decision(self, payment: str) -> None:
        """Approve or reject pending refunds, sometimes both at the same time."""
        waiting = (await self.shop.get("/v1/support/refunds", self.shop.agent, status="awaiting_approval")).json()[
            "data"
        ]
        for one in waiting:
            for by in self.chance.sample(supervisors(self.shop), self.chance.choice((1, 2))):
                verdict = self.chance.choice(("approve", "approve", "reject"))
                check(await decide_refund(self.shop, one["id"], verdict, by, key=self._key()))

    async def by_hand(self, payment: str) -> None:
        """Refund a part or the rest in Stripe's Dashboard; Stripe may decline."""
        if self.chance.random() < 0.5:
            more = {"amount": str(self.chance.randrange(1, 30_00))} if self.chance.random() < 0.7 else {}
            with contextlib.suppress(httpx2.TransportError):  # the faults affect the Dashboard, too
                await self.shop.stripe.post("/v1/refunds", data={"payment_intent": payment, **more})

    async def bank(self, payment: str) -> None:
        """Dispute the payment and decide the dispute, with a low probability."""
        if self.chance.random() < 0.8:
            return
        charge = (await self.shop.stripe_get(f"/v1/payment_intents/{payment}"))["latest_charge"]
        opened = await self.shop.ask_bank(f"charges/{charge}/dispute")
        if opened.status_code == 200:
            await asyncio.sleep(self.chance.random() / 10)
            await self.shop.ask_bank(f"disputes/{opened.json()['id']}", status=self.chance.choice(("won", "lost")))

    async def faults(self) -> None:
        """Let some calls to Stripe fail."""
        for _ in range(4):
            fault: dict[str, Any] = self.chance.choice([{"action": "drop"}, {"action": "status", "status": 500}])
            path = self.chance.choice(("/v1/refunds", "/v1/credit_notes"))
            await self.shop.add_fault(
                method="POST", path=path, when=self.chance.choice(("before", "after")), times=1, **fault
            )

    async def check_books(self) -> None:
        """Compare our records with Stripe's for each payment, and each reader's access with them."""
        for payment in self.payments:
            await check_books(self.shop, payment)
        for reader in self.readers:
            shown = await self.shop.overview(reader)
            flowing = [r for r in shown["refunds"] if r["status"] in {"pending", "requires_action", "succeeded"}]
            ended = any(r["basis"] in {GUARANTEE, UNSERVED} for r in flowing)
            (held,) = shown["subscriptions"]
            for term in held["terms"]:
                ledger = term["ledger"]
                assert ledger["bought"] + ledger["adjustments"] == ledger["owed"]
                assert ledger["owed"] == ledger["served"] + ledger["unserved"] + ledger["cancelled"]
            if ended:
                assert not await self.shop.may_read(reader), shown
                there = await self.shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}")
                assert there["status"] == "canceled"
            if not flowing and held["ended_by"] is None and not await self._disputed(reader):
                assert await self.shop.may_read(reader), shown
        assert await self.shop.count_pending_work() == 0

    async def _disputed(self, reader: Person) -> bool:
        (row,) = await self.shop.rows(
            "SELECT count(*) AS n FROM disputes d JOIN subscribers s ON s.id = d.subscriber_id WHERE s.sub = $1",
            reader.sub,
        )
        return bool(row["n"])

    def _key(self) -> str:
        self.clicks += 1
        return f"click-{self.clicks}"


def check(answer: httpx2.Response) -> None:
    """Check that no response was a server error."""
    assert answer.status_code in {200, 201, 202} or answer.json()["code"] in EXPECTED_CODES, answer.text


async def run_history(shop: Shop, readers: int, seed: int) -> None:
    history = History(shop, seeded(seed))
    await history.start(readers)
    for step in range(STEPS):
        if step == STEPS - 1:
            await shop.advance_to(LATER)  # the guarantee has expired
        await history.faults()
        await history.run_actions()
        await history.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("seed", fixed_seeds(3))
async def test_random_refund_histories_end_with_matching_records(shop: Shop, seed: int) -> None:
    await run_history(shop, QUICK, seed)


@pytest.fixture
async def busy_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop with short leases, so that workers and clicks conflict more often."""
    async with open_shop(database, sandbox, issuer, lease=timedelta(seconds=1)) as opened:
        yield opened


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(40))
async def test_many_random_refund_histories_end_with_matching_records(busy_shop: Shop, chunk: int) -> None:
    await run_history(busy_shop, MANY, random_seed())
