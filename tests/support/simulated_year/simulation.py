"""The year itself: something is done, time is wound, and of an evening Stripe's books are compared with the oracle's."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from tests.support.shop import START_TIME, Shop
from tests.support.simulated_year import expected_access, network_faults, stripe_records
from tests.support.simulated_year.readers import SimulatedReader
from tests.support.simulated_year.stripe_records import StripeRecords

AT_ONCE = 8  # readers who do something at the same moment
CONFIRMED = ("pending", "requires_action", "succeeded")

_KNOCK = """
INSERT INTO events (id, type, object_id, state, payload, work_key, due_at)
SELECT 'knk_year_' || $2 || '_' || key, 'newsstand.year', key, 'received', '{}', key, now() FROM unnest($1::text[]) key
"""
_SWEEP = """
INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key, due_at)
VALUES ($1, 'reconcile', 'operator:year', false, 'events', '{}', '{}', 'reconcile', now())
"""
# Only what was put back with a pause: what is due much later has its reason, such as a refund that is on its way.
_HURRY = "UPDATE {} SET due_at = now() WHERE due_at > now() AND due_at < now() + interval '30 minutes'"


@dataclass
class Simulation:
    """A shop, its readers, and what is known of them."""

    shop: Shop
    rng: Random
    lives: list[SimulatedReader]
    now: datetime = START_TIME
    customers: dict[str, str] = field(default_factory=dict)  # by the reader's sub
    reach: dict[str, int] = field(default_factory=dict)  # until when each could read, as of the last evening
    kills: int = 0
    evenings: int = 0

    async def goes_by(self, moments: list[datetime], *, kill: float = 0.0) -> None:
        """Let the year go by: at each of the moments it is evening."""
        await self.shop.stripe.put(
            "/_sandbox/settings", json={"refund_seconds": 7 * 86400, "retry_seconds": [0.2, 0.5, 1, 1, 1, 1]}
        )
        seen = await stripe_records.read(self.shop)
        for number, moment in enumerate(moments, 1):
            print(f"evening {number} of {len(moments)}: {moment:%Y-%m-%d}", flush=True)  # a long run is watched
            losing = await network_faults.start_faults(self.shop, self.rng)
            await self._all_live_a_day(seen)
            if self.shop.process is not None and self.rng.random() < kill:
                self.shop.process.kill()
                self.kills += 1
                losing = True  # what could not be delivered meanwhile may have been given up
                await self._wind(moment)
                await self.shop.process.start()
            else:
                await self._wind(moment)
            self.now = moment
            await network_faults.stop_faults(self.shop)
            await self._nobody_is_locked_out_meanwhile()
            await self._calms_down(lost=losing)
            seen = await stripe_records.read(self.shop)
            await self._everybody_reads_who_may(seen)

    async def _all_live_a_day(self, seen: StripeRecords) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(life: SimulatedReader) -> None:
            async with at_once:
                await life.lives_a_day(seen, self.customers.get(life.person.sub), now=int(self.now.timestamp()))

        await asyncio.gather(*(one(life) for life in self.lives))

    async def _wind(self, moment: datetime) -> None:
        clock = f"/v1/test_helpers/test_clocks/{self.shop.clock}"
        answer = await self.shop.stripe.post(f"{clock}/advance", data={"frozen_time": str(int(moment.timestamp()))})
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(120):
            while (await self.shop.stripe_get(clock))["status"] != "ready":
                await asyncio.sleep(0.02)

    async def _calms_down(self, *, lost: bool) -> None:
        """Let all be told and done."""
        self.evenings += 1
        await self.shop.wait_for_deliveries()
        if lost:
            await self._reconciles()
        await self._works_off()
        for row in await self.shop.rows("SELECT sub, stripe_customer_id FROM subscribers"):
            if row["stripe_customer_id"]:
                self.customers[row["sub"]] = row["stripe_customer_id"]

    async def _reconciles(self) -> None:
        """Find what was lost on the way, as the comparison of the books does every night."""
        sweep = f"swp_year_{self.evenings}"
        await self.shop.rows(_SWEEP, sweep)
        # The events of disputes are dated by the wall clock, for a dispute names no customer whose clock could be asked. By
        # the year's clock they are long forgotten, so the sweep cannot find them: they are knocked for.
        disputed = {one["payment_intent"] for one in await stripe_records.list_all(self.shop, "/v1/disputes")}
        keys = [f"payment:{intent}" for intent in sorted(disputed)]
        await self.shop.rows(_KNOCK, keys, str(self.evenings))
        async with asyncio.timeout(110):
            while (await self.shop.rows("SELECT finished_at FROM sweeps WHERE id = $1", sweep))[0][
                "finished_at"
            ] is None:
                await self.shop.execute(_HURRY.format("sweeps") + " AND by = 'operator:year'")
                await asyncio.sleep(0.1)

    async def _works_off(self) -> None:
        async with asyncio.timeout(110):
            sent = -1  # what is done makes Stripe tell of it, which is to be done as well
            while sent != (sent := await self.shop.wait_for_deliveries()):
                while (left := await self.shop.count_pending_work()) > 0:
                    for table in ("events", "refunds", "subscriptions"):
                        await self.shop.execute(_HURRY.format(table))
                    await asyncio.sleep(0.02 if left < 20 else 0.2)

    async def _nobody_is_locked_out_meanwhile(self) -> None:
        """
        See that who could read until now, has paid, and did nothing, can read before anybody has told us anything.

        That is the renewal's allowance: Stripe's events may come up to three days late.
        """
        still = [x for x in self.lives if not x.moved and self.reach.get(x.person.sub, 0) > self.now.timestamp()]
        refused = [life for life in still if not await self.shop.may_read(life.person)]
        if refused:  # the books are long, and nearly always nobody is
            seen = await stripe_records.read(self.shop)
            locked_out = [self._story(life, "is locked out") for life in refused if self._verdict(seen, life).allowed]
            assert locked_out == []

    async def _everybody_reads_who_may(self, seen: StripeRecords) -> None:
        """Compare what the service says of each reader with the oracle, to the second."""
        for life in self.lives:
            wanted, answer = self._verdict(seen, life), await self.shop.check(life.person)
            until = datetime.fromisoformat(answer["until"]).timestamp() if answer["allowed"] else None
            assert (answer["allowed"], until) == (wanted.allowed, wanted.until), self._story(
                life, f"is told {answer}, and the books say {wanted}"
            )
            self.reach[life.person.sub] = wanted.reach

    def _verdict(self, seen: StripeRecords, life: SimulatedReader) -> expected_access.ExpectedAccess:
        customer = self.customers.get(life.person.sub)
        if customer is None:
            return expected_access.ExpectedAccess(False, None)
        return expected_access.expected_access(
            seen, customer, now=int(self.now.timestamp()), ended_for_one=life.ended_for_one
        )

    def _story(self, life: SimulatedReader, what: str) -> str:
        lines = "\n".join(life.diary)
        customer = self.customers.get(life.person.sub)
        return f"{life.person.sub} ({customer}) on {self.now:%Y-%m-%d %H:%M} {what}\n{lines}"

    async def the_books_agree(self) -> None:
        """Compare Stripe's books with ours, to the cent."""
        seen = await stripe_records.read(self.shop)
        ours = {
            r["id"]: (r["invoice_id"], r["amount"], r["currency"])
            for r in await self.shop.rows("SELECT id, invoice_id, amount, currency FROM payments")
        }
        theirs = {intent: (invoice["id"], paid, invoice["currency"]) for intent, (invoice, paid) in seen.paid().items()}
        assert ours == theirs
        given = await self.shop.rows(
            "SELECT stripe_refund_id, payment_id, amount, status FROM refunds WHERE stripe_refund_id IS NOT NULL"
        )
        assert {r["stripe_refund_id"]: (r["payment_id"], r["amount"], r["status"]) for r in given} == {
            r["id"]: (intent, r["amount"], r["status"]) for intent, each in seen.refunds.items() for r in each
        }
        disputed = await self.shop.rows("SELECT id, payment_id, amount, status FROM disputes")
        assert {r["id"]: (r["payment_id"], r["amount"], r["status"]) for r in disputed} == {
            d["id"]: (intent, d["amount"], d["status"]) for intent, each in seen.disputes.items() for d in each
        }
        for intent, (_, paid) in seen.paid().items():
            each = [r for r in seen.refunds.get(intent, []) if r["status"] != "failed"]
            assert sum(r["amount"] for r in each) <= paid, intent
            named = [r["metadata"]["newsstand_refund"] for r in each if "newsstand_refund" in r["metadata"]]
            assert len(named) == len(set(named)), f"{intent}: one refund of ours was paid twice"

    async def nothing_is_left_over(self) -> None:
        """See that nothing waits, nothing is dead, nobody pays twice, and nothing stays payable that buys nothing."""
        seen = await stripe_records.read(self.shop)
        assert (
            await self.shop.rows("SELECT id, work_key, last_error FROM events WHERE state IN ('failed', 'dead')") == []
        )
        assert await self.shop.rows("SELECT id FROM refunds WHERE status = 'processing'") == []
        assert len(seen.customers) == len(self.customers), "somebody is two customers"
        for customer, held in seen.subscriptions.items():
            live = [one["id"] for one in held if one["status"] in {"active", "trialing", "past_due"}]
            assert len(live) <= 1, f"{customer} has {live}"
            for one in held:
                if one["status"] == "canceled":
                    payable = [i["id"] for i in seen.invoices.get(one["id"], []) if i["status"] in {"draft", "open"}]
                    assert payable == [], f"{one['id']} is over, and can still be paid"
        confirmed = await self.shop.rows(
            "SELECT r.id, count(a.id) AS told FROM refunds r LEFT JOIN audit_log a ON a.object_id = r.id"
            " AND a.action = 'refund.confirmed' WHERE r.recorded_at IS NOT NULL GROUP BY r.id"
        )
        assert [r["id"] for r in confirmed if r["told"] != 1] == []


def random_moments(rng: Random, *, days: int, step: tuple[float, float]) -> list[datetime]:
    """Return moments through ``days``, each so many days after the one before."""
    found, at = [], START_TIME.astimezone(UTC)
    while at < START_TIME + timedelta(days=days):
        at += timedelta(seconds=int(rng.uniform(*step) * 86400))
        found.append(at)
    return found
