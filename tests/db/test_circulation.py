"""What a label run freezes for the circulation statement agrees with the rule, on random subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import floor
from random import Random

import asyncpg
import pytest

from app.db import circulation, label_runs
from app.db.circulation import CountedIssue
from app.db.engine.session import Sessions
from app.db.label_runs import Selection
from app.domain.circulation import BasicPrice, CountingRules
from app.domain.progress import term_of
from app.domain.refunds import RefundBasis, RefundStatus
from app.domain.subscriptions import Payment, Term

ISSUE, CLOSED = 20, datetime(2026, 6, 2, 5, tzinfo=UTC)
SUBSCRIPTIONS = 400
PERCENT = 30
PRICES = {
    "annual": BasicPrice(plan="annual", currency="usd", both_editions=7300, digital=4900),
    "inclusive": BasicPrice(plan="inclusive", currency="usd", both_editions=7300, digital=4900, includes_tax=True),
}
RULES = CountingRules(
    mailed_from="US", county=["627", "60"], other_mail=["canada"], prices=list(PRICES.values()), paid_percent=PERCENT
)
SELECTION = Selection(
    issue_number=ISSUE,
    closes=CLOSED,
    through=CLOSED - timedelta.resolution,
    keeps_ended=True,
    mail_date=date(2026, 6, 9),
    served={"US": "domestic", "CA": "canada"},
    grace=[("annual", ISSUE - 1)],
)
COUNTED = CountedIssue(number=ISSUE, closes_at=CLOSED, paid_percent=PERCENT)
RETURNED = ("pending", "requires_action", "succeeded", "processing")
OF_UNSENT_COPIES = ("unserved_issues", "print_dropped", "unspent_credit")


@dataclass
class Returned:
    """What was returned of a payment, of the paid copies: in refunds, and in lost disputes."""

    amount: int = 0
    tax: int = 0
    lost: int = 0


@dataclass
class Shop:
    """Terms and payments by subscription, and what was returned of each payment."""

    terms: dict[str, list[Term]] = field(default_factory=dict)
    payments: dict[str, list[Payment]] = field(default_factory=dict)
    returned: dict[str, Returned] = field(default_factory=dict)
    currencies: dict[str, str] = field(default_factory=dict)

    def amount_paid(self, subscription: str, invoice: str) -> int:
        """Return what was paid for a term, less what was returned for copies that were sent."""
        terms = self.terms[subscription]
        term = next(one for one in terms if one.invoice_id == invoice)
        price = self.price(subscription, term)
        paid = Fraction(term.paid_by_balance)
        for payment in self.payments[subscription]:
            if payment.amount > 0 and term_of(payment, terms) is term:
                back = self.returned[payment.id]
                lost = min(payment.amount, back.lost + (payment.credited if term.credited_at is None else 0))
                tax = payment.tax - back.tax - Fraction(payment.tax * lost, payment.amount)
                left = payment.amount - back.amount - lost
                paid += max(0, left - (0 if price is not None and price.includes_tax else tax))
        return floor(paid + Fraction(1, 2))

    def price(self, subscription: str, term: Term) -> BasicPrice | None:
        price = PRICES.get(term.plan)
        return price if price is not None and price.currency == self.currencies[subscription] else None

    def is_paid(self, subscription: str, invoice: str, *, digital: bool = False) -> bool:
        amount = self.amount_paid(subscription, invoice)
        price = self.price(subscription, next(t for t in self.terms[subscription] if t.invoice_id == invoice))
        least = 0 if price is None else price.digital if digital else price.both_editions
        return amount > 0 and amount * 100 >= least * PERCENT


class Writer:
    """Writes a random shop to the database. Two thirds of its subscriptions have nothing unusual."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", seed: int) -> None:
        self.connection, self.random, self.shop = connection, Random(seed), Shop()

    async def write(self) -> Shop:
        await self.connection.execute("SET session_replication_role = replica")
        for number in range(SUBSCRIPTIONS):
            await self.subscribe(number)
        return self.shop

    async def subscribe(self, number: int) -> None:
        """Write a subscription with its terms and payments, and the address of its reader."""
        subscription, random = f"scr_{number:03}", self.random
        currency = self.shop.currencies[subscription] = random.choice(("usd", "usd", "usd", "eur"))
        await self.connection.execute(
            "INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount,"
            " currency, created_at, work_key) VALUES ($1, $1, $2, 1, 'annual', true, 'active', 0, $3, now(), '')",
            subscription,
            f"rdr_{number:03}",
            currency,
        )
        await self.connection.execute(
            "INSERT INTO postal_addresses (id, subscriber_id, name, company, line1, line2, district, city, region,"
            " postal_code, country, lines, problems, is_usable, saved_at, work_key) VALUES ($1, $2, 'Ada Invented', '', '',"
            " '', '', '', '', $3, $4, '{}', '{}', true, '2025-01-01', '')",
            f"adr_{number:03}",
            f"rdr_{number:03}",
            random.choice(("62701", "60601", "10001", "")),
            random.choice(("US", "US", "CA")),
        )
        self.shop.payments[subscription] = []
        is_usual, plan = random.random() < 2 / 3, random.choice(("annual", "annual", "inclusive", "gone"))
        has_print, at_grace = random.random() < 0.6, random.random() < 0.1
        first = CLOSED - timedelta(days=random.randint(1, 300))
        starts = [first, first - timedelta(days=365)] if random.random() < 0.3 else [first]
        terms = self.shop.terms[subscription] = [
            Term(
                invoice_id=f"in_{number:03}_{place}",
                plan=plan,
                print_edition=has_print,
                starts_at=at,
                ends_at=CLOSED - timedelta(days=1) if at_grace and place == 0 else at + timedelta(days=365),
                issues_owed=24,
                paid_by_balance=0 if is_usual or random.random() < 0.7 else random.choice((1, 2500)),
                credited_at=None if is_usual or random.random() < 0.8 else at,
            )
            for place, at in enumerate(starts)
        ]
        for place, term in enumerate(terms):
            last = 9 if place else ISSUE - 1 if at_grace else 33
            await self.write_term(subscription, term, last=last, expire=ISSUE - 1 if at_grace else 33)
            await self.pay(subscription, term, is_usual=is_usual)

    async def write_term(self, subscription: str, term: Term, *, last: int, expire: int) -> None:
        await self.connection.execute(
            "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed, copies,"
            " paid_by_balance, credited_at, last_issue, expire)"
            " VALUES ($1, $2, $3, $4, $5, $6, 24, $7::text::int4multirange, $8, $9, $10, $11)",
            term.invoice_id,
            subscription,
            term.plan,
            term.print_edition,
            term.starts_at,
            term.ends_at,
            f"{{[1,{last}]}}",
            term.paid_by_balance,
            term.credited_at,
            last,
            expire,
        )

    async def pay(self, subscription: str, term: Term, *, is_usual: bool) -> None:
        """Write the payments of a term: often one; otherwise none or several parts, and later ones without a term."""
        random, before = self.random, len(self.shop.payments[subscription])
        if random.random() < 0.1:
            return  # free
        if is_usual:
            await self.add(subscription, term.invoice_id, term.starts_at, reason="subscription_create")
            return
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            await self.add(subscription, term.invoice_id, term.starts_at, reason="subscription_cycle")
        for later in range(random.choice((0, 0, 1, 2))):
            at = term.starts_at + timedelta(days=random.randint(-40, 400))
            reason = random.choice(("subscription_update", "subscription_cycle", "manual"))
            await self.add(subscription, f"{term.invoice_id}_{later}", at, reason=reason)
        for payment in self.shop.payments[subscription][before:]:
            if random.random() < 0.4 and payment.amount:
                await self.give_back(payment)

    async def add(self, subscription: str, invoice: str, at: datetime, *, reason: str) -> None:
        random = self.random
        tax = random.choice((0, 7, 431))
        payment = Payment(
            id=f"pi_{len(self.shop.returned):05}",
            invoice_id=invoice,
            amount=random.choice((0, tax + 1, 1470 + tax, 2189 + tax, 2190 + tax, 7300 + tax))
            if random.random() < 0.6
            else 7300,
            tax=tax,
            currency="usd",
            paid_at=at,
            billing_reason=reason,
            print_from=at if reason != "subscription_create" and random.random() < 0.3 else None,
            credited=random.choice((0, 0, 0, 1, 3000, 9000)) if reason != "subscription_create" else 0,
        )
        self.shop.payments[subscription].append(payment)
        self.shop.returned[payment.id] = Returned()
        await self.connection.execute(
            "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason,"
            " print_from, credited) VALUES ($1, $2, $3, $4, $5, 'usd', $6, $7, $8, $9)",
            payment.id,
            payment.invoice_id,
            subscription,
            payment.amount,
            payment.tax,
            payment.paid_at,
            payment.billing_reason,
            payment.print_from,
            payment.credited,
        )

    async def give_back(self, payment: Payment) -> None:
        """Write refunds with some bases and statuses, and disputes that were won and lost."""
        random, back = self.random, self.shop.returned[payment.id]
        for number in range(random.randint(0, 3)):
            # A basis that doesn't end the term: the copy would be left out.
            basis = random.choice((RefundBasis.GOODWILL, RefundBasis.PRINT_DROPPED, RefundBasis.UNSPENT_CREDIT))
            status = random.choice([one for one in RefundStatus if one != "processing" or number == 0])
            amount, tax = random.choice(
                ((payment.amount, payment.tax), (1, 0), (payment.amount // 3 + 1, payment.tax // 3))
            )
            await self.connection.execute(
                "INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by,"
                " status, created_at, work_key) VALUES ($1, $2, '', $3, $4, $5, 'usd', '', '', $6, $7, '')",
                f"rfd_{payment.id}_{number}",
                payment.id,
                basis,
                amount,
                tax,
                status,
                CLOSED - timedelta(days=3),
            )
            if status in RETURNED and basis not in OF_UNSENT_COPIES:
                back.amount += amount
                back.tax += tax
        for outcome in ("won", "lost"):
            if random.random() < 0.3:
                await self.connection.execute(
                    "INSERT INTO disputes (id, payment_id, charge_id, status, amount, currency, reason,"
                    " is_charge_refundable, opened_at) VALUES ($1, $2, '', $3, $4, 'usd', '', false, now())",
                    f"dp_{payment.id}_{outcome}",
                    payment.id,
                    outcome,
                    lost := random.choice((1, payment.amount // 2, payment.amount)),
                )
                back.lost += lost if outcome == "lost" else 0

    async def order(self, subscriptions: Sequence[str]) -> None:
        """Write orders of the issue."""
        for subscription in subscriptions:
            await self.connection.execute(
                "INSERT INTO back_issues (id, subscriber_id, subscription_id, issue_number, ordered_by, created_at)"
                " VALUES ($1, $2, $3, $4, '', now())",
                subscription.replace("scr", "bki"),
                subscription.replace("scr", "rdr"),
                subscription,
                ISSUE,
            )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_freeze_agrees_with_the_rule_on_random_subscriptions(
    database: str, sessions: Sessions, seed: int
) -> None:
    connection = await asyncpg.connect(database)
    writer = Writer(connection, seed)
    shop = await writer.write()
    await writer.order(ordered := list(shop.terms)[::7])

    async with sessions.begin() as session:
        counts = await label_runs.freeze(session, "lbl_new", SELECTION, RULES)
        await circulation.freeze_electronic(session, RULES, COUNTED, run_id="lbl_new")

    labels = await connection.fetch("SELECT * FROM labels ORDER BY position")
    electronic = await connection.fetch("SELECT * FROM electronic_copies")
    await connection.close()
    assert [one["position"] for one in labels] == list(range(1, counts.copies + 1))
    assert sorted(one["subscription_id"] for one in labels if one["kind"] == "back_issue") == ordered
    for one in labels:
        is_copy = one["kind"] == "copy"
        amount = shop.amount_paid(one["subscription_id"], one["term"]) if is_copy else 0
        paid = is_copy and not one["flags"] & 16 and shop.is_paid(one["subscription_id"], one["term"])
        assert (one["amount_paid"], one["is_paid"]) == (amount, paid), one
        county = one["country"] == "US" and one["postal_code"].startswith(("627", "60"))
        mail = "other_mail" if one["country"] == "CA" else "in_county" if county else "outside_county"
        assert one["mail_class"] == mail, one
    printed = {one["subscription_id"] for one in labels if one["kind"] == "copy"}
    assert {name for name, (term, *_) in shop.terms.items() if term.print_edition and term.ends_at > CLOSED} <= printed
    assert {one["subscription_id"]: (one["term"], one["amount_paid"]) for one in electronic} == {
        name: (term.invoice_id, shop.amount_paid(name, term.invoice_id))
        for name, (term, *_) in shop.terms.items()
        if not term.print_edition and term.ends_at > CLOSED and shop.is_paid(name, term.invoice_id, digital=True)
    }
    assert len(printed) > SUBSCRIPTIONS / 3
    assert len({one["amount_paid"] for one in [*labels, *electronic]}) > 30, "the amounts differ"
