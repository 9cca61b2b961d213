"""The simulation: readers act, time advances, and each evening their access is compared with the expected one."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from app.domain.events import TYPES
from tests.support.shop import Shop
from tests.support.simulated_year import (
    expected_access,
    expected_print,
    imported_history,
    money,
    network_faults,
    stripe_records,
)
from tests.support.simulated_year.imported_history import OPENING
from tests.support.simulated_year.kinds import CREDITED, IMPORTED, PRINT_BY_HAND
from tests.support.simulated_year.readers import SimulatedReader
from tests.support.simulated_year.stripe_records import StripeRecords, cash_of, payments_of
from tests.support.timeouts import TIMEOUT

AT_ONCE = 8  # readers who act at the same time
DEBIT_SECONDS = 6 * 86400

_ADD_EVENTS = """
INSERT INTO events (id, type, object_id, state, payload, work_key, due_at)
SELECT 'knk_year_' || $2 || '_' || key, 'newsstand.year', key, 'received', '{}', key, now() FROM unnest($1::text[]) key
"""
_ADD_SWEEP = """
INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key, due_at)
VALUES ($1, 'reconcile', 'operator:year', false, 'events', '{}', '{}', 'reconcile', now())
"""
# Only rows delayed after a failure: rows due much later, such as pending refunds, keep their time.
_MAKE_DUE = "UPDATE {} SET due_at = now() WHERE due_at > now() AND due_at < now() + interval '30 minutes'"


@dataclass
class Simulation:
    """A shop, its readers, and the state of the simulation."""

    shop: Shop
    rng: Random
    readers: list[SimulatedReader]
    now: datetime = OPENING
    customers: dict[str, str] = field(default_factory=dict)  # by the reader's sub
    reach: dict[str, int] = field(default_factory=dict)  # the end of each reader's access, as of the last evening
    answers: dict[str, list[money.Answer]] = field(default_factory=lambda: defaultdict(list))  # by customer
    ended: set[str] = field(default_factory=set)  # subscriptions that had ended by the last evening
    kills: int = 0
    evenings: int = 0

    async def run(self, moments: list[datetime], *, kill: float = 0.0) -> None:
        """Run the simulation; each of the moments is an evening."""
        await self._introduce()
        seen = await self._read()
        for number, moment in enumerate(moments, 1):
            print(
                f"evening {number} of {len(moments)}: {moment:%Y-%m-%d}", flush=True
            )  # shows the progress of a long run
            await self._change_dunning()
            losing = await network_faults.start_faults(self.shop, self.rng)
            await self._all_readers_act(seen)
            if self.shop.process is not None and self.rng.random() < kill:
                self.shop.process.kill()
                self.kills += 1
                losing = True  # deliveries during the restart may have failed for good
                await self._advance_to(moment)
                await self.shop.process.start()
            else:
                await self._advance_to(moment)
            self.now = moment
            await network_faults.stop_faults(self.shop)
            await self._check_renewal_allowance()
            await self._wait_until_idle(lost=losing)
            seen = await self._read()
            for reader in self.readers:
                await reader.note_cancellations()
            await self._check_access(seen)
            self._check_ends(seen)
            found = list(money.over_returned(seen))
            assert found == [], "\n".join([*found, *self._stories(found)])

    async def _introduce(self) -> None:
        """Introduce Newsstand: import the readers who have subscribed for years, and prepare the local Stripe."""
        settings = {
            "refund_seconds": 7 * 86400,
            "debit_seconds": DEBIT_SECONDS,
            "payment_methods": ["card", "us_bank_account"],
            "retry_seconds": [0.2, 0.5, 1, 1, 1, 1],
        }
        await self.shop.stripe.put("/_sandbox/settings", json=settings)
        (endpoint,) = (await self.shop.stripe_get("/v1/webhook_endpoints"))["data"]
        events = {f"enabled_events[{n}]": name for n, name in enumerate(TYPES)}
        await self.shop.stripe_post(f"/v1/webhook_endpoints/{endpoint['id']}", **events)
        earlier = [reader for reader in self.readers if reader.kind == IMPORTED]
        histories = await imported_history.make_history(self.shop, [one.person for one in earlier], self.rng)
        for reader in earlier:
            reader.diary.append(f"is imported: {histories[reader.person.sub]}")
        await imported_history.import_all(self.shop)
        (price,) = (await self.shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_print"}))["data"]
        for reader in self.readers:
            reader.print_price = price["id"]
        await self._find_customers()

    async def _read(self) -> StripeRecords:
        given = [self.customers.get(reader.person.sub) for reader in self.readers if reader.kind == CREDITED]
        return await stripe_records.read(self.shop, given_to=[one for one in given if one])

    async def _change_dunning(self) -> None:
        """Change what Stripe does after a failed payment: an account can pause, keep or cancel subscriptions."""
        dunning = {
            "after_first_failure": self.rng.choice(["past_due", "past_due", "past_due", "pause"]),
            "after_retries": self.rng.choice(["cancel", "cancel", "unpaid", "past_due", "pause"]),
        }
        await self.shop.stripe.put("/_sandbox/settings", json=dunning)

    async def _all_readers_act(self, seen: StripeRecords) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(reader: SimulatedReader) -> None:
            async with at_once:
                await reader.act_for_a_day(seen, self.customers.get(reader.person.sub), now=int(self.now.timestamp()))

        await asyncio.gather(*(one(reader) for reader in self.readers))

    async def _advance_to(self, moment: datetime) -> None:
        clock = f"/v1/test_helpers/test_clocks/{self.shop.clock}"
        answer = await self.shop.stripe.post(f"{clock}/advance", data={"frozen_time": str(int(moment.timestamp()))})
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(TIMEOUT):
            while (await self.shop.stripe_get(clock))["status"] != "ready":
                await asyncio.sleep(0.02)

    async def _wait_until_idle(self, *, lost: bool) -> None:
        """Wait until all events are delivered and all work is done."""
        self.evenings += 1
        await self.shop.wait_for_deliveries()
        if lost:
            await self._reconcile()
        await self._finish_work()
        await self._find_customers()

    async def _find_customers(self) -> None:
        for row in await self.shop.rows("SELECT sub, stripe_customer_id FROM subscribers"):
            if row["stripe_customer_id"]:
                self.customers[row["sub"]] = row["stripe_customer_id"]

    async def _reconcile(self) -> None:
        """Find lost events by a reconciliation, as every night."""
        sweep = f"swp_year_{self.evenings}"
        await self.shop.rows(_ADD_SWEEP, sweep)
        # Events of disputes have times of the wall clock, because a dispute has no customer with a test clock. By the
        # simulated time they are too old for the sweep to find, so events are added for them.
        disputed = {one["payment_intent"] for one in await stripe_records.list_all(self.shop, "/v1/disputes")}
        keys = [f"payment:{intent}" for intent in sorted(disputed)]
        await self.shop.rows(_ADD_EVENTS, keys, str(self.evenings))
        async with asyncio.timeout(TIMEOUT):
            while (await self.shop.rows("SELECT finished_at FROM sweeps WHERE id = $1", sweep))[0][
                "finished_at"
            ] is None:
                await self.shop.execute(_MAKE_DUE.format("sweeps") + " AND by = 'operator:year'")
                await asyncio.sleep(0.1)

    async def _finish_work(self) -> None:
        async with asyncio.timeout(TIMEOUT):
            sent = -1  # completed work causes new events, which are processed, too
            while sent != (sent := await self.shop.wait_for_deliveries()):
                while (left := await self.shop.count_pending_work()) > 0:
                    for table in ("events", "refunds", "subscriptions"):
                        await self.shop.execute(_MAKE_DUE.format(table))
                    await asyncio.sleep(0.02 if left < 20 else 0.2)

    async def _check_renewal_allowance(self) -> None:
        """
        Check that paying readers who did nothing keep access before any event of the day arrives.

        This is the renewal allowance: Stripe's events may arrive up to three days late.
        """
        still = [x for x in self.readers if not x.moved and self.reach.get(x.person.sub, 0) > self.now.timestamp()]
        refused = [reader for reader in still if not await self.shop.may_read(reader.person)]
        if refused:  # reading the records is slow and rarely necessary
            seen = await self._read()
            locked_out = [
                self._story(reader, "is locked out") for reader in refused if self._verdict(seen, reader).allowed
            ]
            assert locked_out == []

    async def _check_access(self, seen: StripeRecords) -> None:
        """Compare each reader's access with the expected one, to the second."""
        for reader in self.readers:
            wanted, answer = self._verdict(seen, reader), await self.shop.check(reader.person)
            known = answer["allowed"] and answer["until"] is not None
            until = datetime.fromisoformat(answer["until"]).timestamp() if known else None
            at = money.Answer(int(self.now.timestamp()), answer["allowed"])
            self.answers[self.customers.get(reader.person.sub, "")].append(at)
            assert (answer["allowed"], until) == (wanted.allowed, wanted.until), self._story(
                reader, f"gets {answer}, expected {wanted}"
            )
            self.reach[reader.person.sub] = wanted.reach
            if reader.kind == PRINT_BY_HAND:
                await self._check_print(seen, reader)

    async def _check_print(self, seen: StripeRecords, reader: SimulatedReader) -> None:
        customer = self.customers.get(reader.person.sub, "")
        wanted = expected_print.expected_print(seen, customer, now=int(self.now.timestamp()))
        if wanted is not None:
            allowed = await self.shop.may_read(reader.person, "print_edition")
            assert allowed is wanted, self._story(reader, f"has print: {allowed}, expected {wanted}")

    def _verdict(self, seen: StripeRecords, reader: SimulatedReader) -> expected_access.ExpectedAccess:
        customer = self.customers.get(reader.person.sub)
        if customer is None:
            return expected_access.ExpectedAccess(False, None)
        return expected_access.expected_access(seen, customer, now=int(self.now.timestamp()), outlived=reader.outlived)

    def _story(self, reader: SimulatedReader, what: str) -> str:
        lines = "\n".join(reader.diary)
        customer = self.customers.get(reader.person.sub)
        return f"{reader.person.sub} ({customer}) on {self.now:%Y-%m-%d %H:%M} {what}\n{lines}"

    def _check_ends(self, seen: StripeRecords) -> None:
        """Check that no subscription was ended without a reason: by a refund of an older term, for example."""
        may_end = {stripe_id for reader in self.readers for stripe_id in reader.may_end}
        ended = {one["id"]: one for one in seen.every_subscription() if one["status"] == "canceled"}
        for stripe_id in ended.keys() - self.ended:
            one = ended[stripe_id]
            intents = [payment for i in seen.invoices.get(stripe_id, []) for payment, _ in payments_of(i)]
            bases = {r["metadata"].get("newsstand_basis") for intent in intents for r in seen.refunds.get(intent, [])}
            # A scheduled end is the reason that Stripe keeps, also if a payment has failed since.
            failed = [i for i in seen.invoices.get(stripe_id, []) if i["status"] != "paid" and i["attempt_count"] > 0]
            unpaid = one["cancellation_details"]["reason"] == "payment_failed" or (one["cancel_at"] and failed)
            scheduled = one["cancel_at"] is not None and one["cancel_at"] <= one["ended_at"]
            reader = next(r for r in self.readers if self.customers.get(r.person.sub) == one["customer"])
            has_reason = unpaid or scheduled or stripe_id in may_end or "duplicate" in bases
            facts = {name: one[name] for name in ("created", "cancel_at", "ended_at", "cancellation_details")}
            assert has_reason, self._story(reader, f"loses {stripe_id} for no reason: {facts}")
        self.ended = set(ended)

    async def check_records(self) -> None:
        """Compare our records with Stripe's, to the cent."""
        seen = await self._read()
        ours = {
            r["id"]: (r["invoice_id"], r["amount"], r["currency"])
            for r in await self.shop.rows("SELECT id, invoice_id, amount, currency FROM payments")
        }
        by_invoice = defaultdict[str, int](int)
        for invoice_id, amount, _ in ours.values():
            by_invoice[invoice_id] += amount
        assert {invoice: amount for invoice, amount in by_invoice.items() if amount} == {
            one["id"]: cash for one in seen.every_invoice() if (cash := cash_of(one))
        }
        ours = {payment: stored for payment, stored in ours.items() if payment.startswith(("pi_", "py_", "ch_"))}
        theirs = {intent: (invoice["id"], paid, invoice["currency"]) for intent, (invoice, paid) in seen.paid().items()}
        assert ours == theirs
        stored = await self.shop.rows(
            "SELECT stripe_refund_id, payment_id, amount, status FROM refunds WHERE stripe_refund_id IS NOT NULL"
        )
        assert {r["stripe_refund_id"]: (r["payment_id"], r["amount"], r["status"]) for r in stored} == {
            r["id"]: (intent, r["amount"], r["status"]) for intent, each in seen.refunds.items() for r in each
        }
        disputed = await self.shop.rows("SELECT id, payment_id, amount, status FROM disputes")
        assert {r["id"]: (r["payment_id"], r["amount"], r["status"]) for r in disputed} == {
            d["id"]: (intent, d["amount"], d["status"]) for intent, each in seen.disputes.items() for d in each
        }
        for payment in seen.paid():
            each = [r for r in seen.refunds.get(payment, []) if r["status"] != "failed"]
            named = [r["metadata"]["newsstand_refund"] for r in each if "newsstand_refund" in r["metadata"]]
            assert len(named) == len(set(named)), f"{payment}: one refund of ours was paid twice"

    async def check_money(self) -> None:
        """Check that nobody paid for what they could not use, and that no credit is dropped."""
        seen = await self._read()
        canceled = {one: at for reader in self.readers for one, at in reader.canceled.items()}
        anomalies = await self._all("/v1/support/anomalies")
        attention = await self._all("/v1/support/attention")
        shown = {str(one["object"]) for one in anomalies} | {str(one["payment"]) for one in attention}
        found = [
            *money.over_returned(seen),
            *money.paid_for_nothing(seen, canceled, shown),
            *money.paid_but_refused(seen, self.answers),
            *money.dropped_credit(seen, shown),
        ]
        assert found == [], "\n".join([*found, *self._stories(found)])

    async def _all(self, path: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        after: dict[str, str] = {}
        while True:
            page = (await self.shop.get(path, self.shop.agent, **after)).json()
            found += page["data"]
            if not page.get("next"):
                return found
            after = {"after": page["next"]}

    def _stories(self, found: Iterable[str]) -> list[str]:
        text = " ".join(found)
        return [self._story(one, "") for one in self.readers if self.customers.get(one.person.sub, "-") in text]

    async def check_nothing_pending(self) -> None:
        """Check that no work is pending or dead, no reader pays twice, and no ended subscription can be paid."""
        seen = await self._read()
        assert (
            await self.shop.rows("SELECT id, work_key, last_error FROM events WHERE state IN ('failed', 'dead')") == []
        )
        assert await self.shop.rows("SELECT id FROM refunds WHERE status = 'processing'") == []
        assert len(seen.customers) == len(self.customers), "a reader has two customers"
        for customer, held in seen.subscriptions.items():
            followed = [one for one in held if one["created"] > OPENING.timestamp()]  # an imported pair keeps running
            live = [one["id"] for one in followed if one["status"] in {"active", "trialing", "past_due"}]
            assert len(live) <= 1, f"{customer} has {live}"
            for one in held:
                if one["status"] == "canceled":
                    payable = [
                        f"{i['id']} ({i['status']})"
                        for i in seen.invoices.get(one["id"], [])
                        if (i["status"] == "open" and not seen.is_processing(i))
                        or (i["status"] == "draft" and i["auto_advance"])
                    ]
                    assert payable == [], f"{one['id']} of {customer} has ended but can still be paid: {payable}"
        confirmed = await self.shop.rows(
            "SELECT r.id, count(a.id) AS told FROM refunds r LEFT JOIN audit_log a ON a.object_id = r.id"
            " AND a.action = 'refund.confirmed' WHERE r.recorded_at IS NOT NULL GROUP BY r.id"
        )
        assert [r["id"] for r in confirmed if r["told"] != 1] == []


def random_moments(rng: Random, *, days: int, step: tuple[float, float]) -> list[datetime]:
    """Return random times within ``days``, with a number of days in ``step`` between them."""
    found, at = [], OPENING.astimezone(UTC)
    while at < OPENING + timedelta(days=days):
        at += timedelta(seconds=int(rng.uniform(*step) * 86400))
        found.append(at)
    return found
