"""Random payments, terms and refunds in the database, and the same as the rule of the liability report takes them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

import asyncpg

from app.domain.liability import EarningRules, PaidAmount, Returned

ZONE = ZoneInfo("America/Chicago")
FIRST = date(2026, 1, 1)
PLANS = {"annual": (Fraction(24, 73), 2), "single": (Fraction(1, 3), 1)}
PAYMENTS = 300
CURRENCIES = ("usd", "jpy", "kwd")  # with two, no and three decimals


@dataclass(frozen=True)
class Ledger:
    """The rules, and payments as the rule takes them, each in a currency of its own."""

    rules: EarningRules
    payments: dict[str, PaidAmount]


@dataclass(frozen=True)
class SharedLedger:
    """The rules, and payments by subscription with their currencies. Some are the same but for their IDs."""

    rules: EarningRules
    payments: dict[str, tuple[str, PaidAmount]]


def calendar(random: Random) -> EarningRules:
    """Return random issues: with gaps between their numbers, slips, double issues and special ones."""
    counts = [random.choice((0, 1, 1, 1, 2)) for _ in range(40)]
    numbers = list(accumulate(random.choice((1, 1, 1, 3)) for _ in counts))
    served = list(accumulate((FIRST + timedelta(days=12 * n + random.randint(-9, 9)) for n in range(40)), max))
    return EarningRules(
        zone=ZONE.key,
        numbers=numbers,
        served_on=served,
        copies={most: list(accumulate((min(c, most) for c in counts), initial=0)) for most in (1, 2)},
        plans=PLANS,
        grace=timedelta(days=10),
    )


def days_of(rules: EarningRules, ranges: Sequence[tuple[int, int | None]], doubles: int) -> list[date]:
    """Return on which day each copy of ranges of issue numbers is served."""
    found = []
    for index, (number, day) in enumerate(zip(rules.numbers, rules.served_on, strict=True)):
        copies = rules.copies[doubles][index + 1] - rules.copies[doubles][index]
        if any(first <= number and (end is None or number < end) for first, end in ranges):
            found += [day] * copies
    return found


class Writer:
    """Writes random terms and payments to the database, and returns them as the rule takes them."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", random: Random, rules: EarningRules) -> None:
        self.connection, self.random, self.rules = connection, random, rules

    def day(self, first: int = 0, last: int = 600) -> date:
        return FIRST + timedelta(days=self.random.randint(first, last))

    def moment(self, day: date) -> datetime:
        """Return a moment of a publisher's day, often the first or the last one."""
        seconds = self.random.choice((0, 1, 40_000, 80_000))
        return datetime.combine(day, time(), ZONE).astimezone(UTC) + timedelta(seconds=seconds)

    def maybe(self, day: date) -> date | None:
        return day if self.random.random() < 0.2 else None

    async def write(self, number: int, *, currency: str) -> PaidAmount:
        """Write a term and its payment."""
        random, plan = self.random, self.random.choice(["annual", "single", "gone"])
        share, doubles = PLANS.get(plan, (Fraction(0), 2))
        begins, ends = (day := self.day(0, 400)), day + timedelta(days=random.choice((0, 1, 30, 365, 366)))
        has_print = random.random() < 0.7
        ranges = random.choice([None, (), ((5, 29),), ((3, 9), (12, None)), ((10, None),), ((1, 4), (60, 70))])
        print_from, print_until, ended = None, self.maybe(self.day()), self.maybe(self.day())
        paid_on, for_print = self.day(0, 400), random.random() < 0.2
        if has_print and random.random() < 0.2:
            print_from = begins + timedelta(days=3)
        has_term = random.random() < 0.95
        earlier: list[date] = []
        if has_print and has_term and not for_print and random.random() < 0.15:  # dropped, and added again
            earlier = [begins, dropped := begins + timedelta(days=random.randint(1, 200))]
            print_from = dropped + timedelta(days=random.randint(1, 90))
        subscription, invoice = f"scr_{number}", f"in_{number}"
        await self.connection.execute(
            "INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount,"
            " currency, created_at, work_key, ended_here_at) VALUES ($1, $1, 'rdr', 1, 'annual', false, 'active', 0, 'usd',"
            " now(), '', $2)",
            subscription,
            self.moment(ended) if ended else None,
        )
        owed, extended = random.choice((0, 10, 24)), random.choice((0, 0, 2))
        starts_at, ends_at, paid_at = self.moment(begins), self.moment(ends), self.moment(paid_on)
        if has_term:
            await self.connection.execute(
                "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed,"
                " copies, print_from, print_until, copies_ended_at, earlier_print) VALUES ($1, $2, $3, $4, $5, $6, $7,"
                " $8::text::int4multirange, $9, $10, $11, $12)",
                invoice,
                subscription,
                plan,
                has_print,
                starts_at,
                ends_at,
                owed,
                None if ranges is None else "{" + ",".join(f"[{a},{b or ''})" for a, b in ranges) + "}",
                self.moment(print_from) if print_from else None,
                self.moment(print_until) if print_until else None,
                self.moment(ended) if ended else None,
                [starts_at, self.moment(earlier[1])] if earlier else [],
            )
            await self.extend(subscription, invoice, extended)
        may_be_late = has_term and not for_print and random.random() < 0.3
        graced = await self.send_in_grace(subscription, invoice, starts_at, owed, paid_at) if may_be_late else []
        tax = random.choice((0, 7, 431))
        amount = tax + random.choice((1, 99, 4_900, 7_300, 12_345))
        if is_free := random.random() < 0.05:  # the customer's balance paid it
            amount = tax = 0
        credited = random.choice((1, amount // 2, amount)) if random.random() < 0.1 and not is_free else 0
        paid_from = self.moment(begins) if for_print else None
        kept = random.choice((None, None, Fraction(0), Fraction(1, 2), Fraction(9_999, 10_000), Fraction(1)))
        if for_print and has_term and random.random() < 0.5:  # print was added later, with an invoice of its own
            invoice, added_at = f"in_{number}_print", self.moment(self.day(0, 400))
            paid_from, has_term = added_at, starts_at <= max(added_at, paid_at)
            await self.renew(subscription, starts_at, added_at)
            since = max(starts_at, added_at)
            begins = since.astimezone(ZONE).date()
            if ends_at > starts_at:
                owed, extended = math.ceil(owed * Fraction((ends_at - since) / (ends_at - starts_at))), 0
        await self.connection.execute(
            "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason,"
            " print_from, credited, print_part, print_whole)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, 'subscription_create', $8, $9, $10, $11)",
            f"pi_{number}",
            invoice,
            subscription,
            amount,
            tax,
            currency,
            paid_at,
            paid_from,
            credited,
            kept.numerator if kept is not None else None,  # an earlier release keeps none
            kept.denominator if kept is not None else None,
        )
        share = kept if kept is not None else share
        has_part = has_term and has_print and (print_from is None or bool(earlier))
        if earlier:
            print_until = earlier[1]
        part = Fraction(1) if for_print else share if has_part else Fraction(0)
        copies: tuple[date, ...] | None = None
        later = 0
        if has_term and has_print and ranges is not None:
            copies = tuple(days_of(self.rules, ranges, doubles))
            if not copies or not ranges or ranges[-1][1] is None or print_until is not None:
                later = max(0, owed + extended - len(graced) - len(copies))
            copies = (*graced, *copies)
        return PaidAmount(
            paid_on=paid_on,
            net=amount - tax,
            print_share=part,
            period=(begins, ends) if has_term else None,
            copies=copies,
            later_copies=later,
            print_ends_on=print_until if has_term else None,
            ended_on=ended,
            returned=await self.give_all_back(number, amount, tax, credited, currency=currency),
        )

    async def renew(self, subscription: str, starts_at: datetime, added_at: datetime) -> None:
        """Write a term that begins after print was added to the one before, and often before a debit for it was paid."""
        if starts_at > added_at:
            return
        await self.connection.execute(
            "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)"
            " VALUES ($1 || '_next', $1, 'annual', false, $2, $3, 24)",
            subscription,
            begins_at := added_at + timedelta(seconds=1, days=self.random.randint(0, 60)),
            begins_at + timedelta(days=365),
        )

    async def send_in_grace(
        self, subscription: str, invoice: str, starts_at: datetime, owed: int, paid_at: datetime
    ) -> list[date]:
        """
        Write the term before one, with grace copies after it, and perhaps a later part of the payment.

        Return when the grace copies that the term is charged for are earned: if it was paid after the grace period.
        """
        sent = self.random.choice((1, 3, 30))
        kept = self.random.choice((None, timedelta(), timedelta(days=14, seconds=1)))
        await self.connection.execute(
            "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed,"
            " grace_sent) VALUES ($1 || '_before', $2, 'annual', true, $3, $4, 24, $5)",
            invoice,
            subscription,
            starts_at - timedelta(days=365),
            starts_at,
            sent,
        )
        if kept is not None:
            offer = f"{subscription}_offer"
            content = json.dumps({"grace_period": kept.total_seconds()})
            await self.connection.execute("INSERT INTO offers (id, content) VALUES ($1, $2)", offer, content)
            await self.connection.execute("UPDATE terms SET offer = $2 WHERE invoice_id = $1", invoice, offer)
        last_at = max(paid_at, self.moment(self.day(0, 400))) if self.random.random() < 0.3 else paid_at
        await self.connection.execute(
            "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason)"
            " VALUES ($1 || '_part', $1, $2, 0, 0, 'usd', $3, 'subscription_cycle')",
            invoice,
            subscription,
            last_at,
        )
        is_late = last_at > starts_at + (self.rules.grace if kept is None else kept)
        return [last_at.astimezone(ZONE).date()] * min(sent, owed) if is_late else []

    async def extend(self, subscription: str, invoice: str, issues: int) -> None:
        """Write an extension of a term, if it has any."""
        if issues:
            await self.connection.execute(
                "INSERT INTO issue_adjustments (id, invoice_id, subscription_id, kind, issues, reason, by, created_at)"
                " VALUES ($1, $1, $2, 'extension', $3, '', '', now())",
                invoice,
                subscription,
                issues,
            )

    async def give_all_back(
        self, number: int, amount: int, tax: int, credited: int, *, currency: str
    ) -> tuple[Returned, ...]:
        """Write what is returned of a payment."""
        times = self.random.randint(0, 3) if amount else 0
        returned = [await self.give_back(number, amount, tax, one, currency=currency) for one in range(times)]
        if credited:
            returned += await self.credit(number, amount, tax, credited)
        return tuple(returned)

    async def credit(self, number: int, amount: int, tax: int, credited: int) -> list[Returned]:
        """Write one or two credits to the customer's balance, and one that returns nothing."""
        day, subscription = self.day(0, 500), f"scr_{number}"
        first, days = self.random.choice((credited // 3, credited)), (day, day + timedelta(days=40))
        parts = [(at, part) for at, part in zip(days, (first, credited - first), strict=True) if part]
        # What an earlier release wrote isn't dated: nothing, the last part, or it credited less again.
        known = self.random.choice((parts, parts, parts, [], parts[:-1], [(day, credited + 9)]))
        await self.connection.execute(
            "UPDATE payments SET credited_at = $2, credited_parts = $3 WHERE id = $1",
            f"pi_{number}",
            [self.moment(at) for at, _ in known],
            [part for _, part in known],
        )
        last = day + timedelta(days=20)
        for kind, at in (("balance", last), ("unbilled", last + timedelta(days=9))):
            await self.connection.execute(
                "INSERT INTO credits (id, kind, subscription_id, amount, currency, created_at)"
                " VALUES ($1, $2, $1, $3, 'usd', $4)",
                subscription,
                kind,
                credited,
                self.moment(at),
            )
        dated = known if sum(part for _, part in known) <= credited else []
        rest = credited - sum(part for _, part in dated)
        found, before = [], 0
        for at, part in [*dated, *([(last, rest)] if rest else [])]:
            found.append(Returned(at, part - tax * (before + part) // amount + tax * before // amount))
            before += part
        return found

    async def give_back(self, number: int, amount: int, tax: int, one: int, *, currency: str) -> Returned:
        """Write a refund or a lost dispute. Refunds that failed or wait for approval are written beside it."""
        random, day = self.random, self.day(0, 500)
        back = random.choice((1, amount // 3 + 1, amount))
        if random.random() < 0.3:
            await self.connection.execute(
                "INSERT INTO disputes (id, payment_id, charge_id, status, amount, currency, reason, is_charge_refundable,"
                " opened_at, closed_at) VALUES ($1, $2, '', 'lost', $3, $4, '', false, now(), $5)",
                f"dp_{number}_{one}",
                f"pi_{number}",
                back,
                currency,
                self.moment(day),
            )
            return Returned(day, back - tax * back // amount)
        its_tax = min(back, random.choice((0, tax)))
        basis = random.choice(("goodwill", "guarantee", "print_dropped"))
        for status in ("succeeded", "failed", "awaiting_approval"):
            await self.connection.execute(
                "INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by,"
                " status, created_at, made_at, work_key) VALUES ($1, $2, 'rdr', $3, $4, $5, $6, '', '', $7, $8, $9, '')",
                f"rfd_{number}_{one}_{status}",
                f"pi_{number}",
                basis,
                back,
                its_tax,
                f"{number:03}",
                status,
                self.moment(day),
                self.moment(day) if random.random() < 0.5 else None,
            )
        return Returned(day, back - its_tax, of_print=basis == "print_dropped")


async def write_ledger(database: str, seed: int) -> Ledger:
    """Write payments, each in a currency of its own."""
    random = Random(seed)
    rules = calendar(random)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET session_replication_role = replica")  # no subscribers
        writer = Writer(connection, random, rules)
        return Ledger(
            rules, {name: await writer.write(int(name), currency=name) for name in map("{:03}".format, range(PAYMENTS))}
        )
    finally:
        await connection.close()


async def write_shared_ledger(database: str, seed: int) -> SharedLedger:
    """Write payments in three currencies. Most of them are written several times, with other IDs."""
    random = Random(seed)
    rules = calendar(random)
    payments: dict[str, tuple[str, PaidAmount]] = {}
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET session_replication_role = replica")  # no subscribers
        while len(payments) < PAYMENTS:
            its_seed, currency = random.random(), random.choice(CURRENCIES)
            for _ in range(random.choice((1, 2, 5))):
                number = len(payments)
                writer = Writer(connection, Random(its_seed), rules)
                payments[f"scr_{number}"] = currency, await writer.write(number, currency=currency)
        return SharedLedger(rules, payments)
    finally:
        await connection.close()
