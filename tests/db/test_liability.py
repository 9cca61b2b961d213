"""The statement of the liability report agrees with the rule, on random ledgers; and a closed month stays closed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from app.db import liability
from app.db.engine.pool import open_pool
from app.db.engine.session import Sessions
from app.db.liability import Closing, Moment
from app.domain.liability import DAY, NOTHING, EarningRules, PaidAmount, Returned, last_of_month, totals

ZONE = ZoneInfo("America/Chicago")
FIRST = date(2026, 1, 1)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PLANS = {"annual": (Fraction(24, 73), 2), "single": (Fraction(1, 3), 1)}
PAYMENTS = 300


@dataclass(frozen=True)
class Ledger:
    """The rules, and payments as the rule takes them, each in a currency of its own."""

    rules: EarningRules
    payments: dict[str, PaidAmount]


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

    async def write(self, number: int) -> PaidAmount:
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
        subscription, invoice = f"scr_{number}", f"in_{number}"
        await self.connection.execute(
            "INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount,"
            " currency, created_at, work_key, ended_here_at) VALUES ($1, $1, 'rdr', 1, 'annual', false, 'active', 0, 'usd',"
            " now(), '', $2)",
            subscription,
            self.moment(ended) if ended else None,
        )
        owed, extended = random.choice((0, 10, 24)), random.choice((0, 0, 2))
        starts_at, ends_at = self.moment(begins), self.moment(ends)
        if has_term:
            await self.connection.execute(
                "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed,"
                " copies, print_from, print_until, copies_ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7,"
                " $8::text::int4multirange, $9, $10, $11)",
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
            )
            if extended:
                await self.connection.execute(
                    "INSERT INTO issue_adjustments (id, invoice_id, subscription_id, kind, issues, reason, by, created_at)"
                    " VALUES ($1, $1, $2, 'extension', $3, '', '', now())",
                    invoice,
                    subscription,
                    extended,
                )
        tax = random.choice((0, 7, 431))
        amount, currency = tax + random.choice((1, 99, 4_900, 7_300, 12_345)), f"{number:03}"
        paid_from = self.moment(begins) if for_print else None
        paid_at = self.moment(paid_on)
        if for_print and has_term and random.random() < 0.5:  # print was added later, with an invoice of its own
            invoice, added_at = f"in_{number}_print", self.moment(self.day(0, 400))
            paid_from, has_term = added_at, starts_at <= paid_at
            since = max(starts_at, added_at)
            begins = since.astimezone(ZONE).date()
            if ends_at > starts_at:
                owed, extended = math.ceil(owed * Fraction((ends_at - since) / (ends_at - starts_at))), 0
        await self.connection.execute(
            "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason,"
            " print_from) VALUES ($1, $2, $3, $4, $5, $6, $7, 'subscription_create', $8)",
            f"pi_{number}",
            invoice,
            subscription,
            amount,
            tax,
            currency,
            paid_at,
            paid_from,
        )
        has_part = has_term and has_print and print_from is None
        part = Fraction(1) if for_print else share if has_part else Fraction(0)
        copies: tuple[date, ...] | None = None
        later = 0
        if has_term and has_print and ranges is not None:
            copies = tuple(days_of(self.rules, ranges, doubles))
            if not copies or not ranges or ranges[-1][1] is None or print_until is not None:
                later = max(0, owed + extended - len(copies))
        return PaidAmount(
            paid_on=paid_on,
            net=amount - tax,
            print_share=part,
            period=(begins, ends) if has_term else None,
            copies=copies,
            later_copies=later,
            print_ends_on=print_until if has_term else None,
            ended_on=ended,
            returned=tuple([await self.give_back(number, amount, tax, one) for one in range(random.randint(0, 3))]),
        )

    async def give_back(self, number: int, amount: int, tax: int, one: int) -> Returned:
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
                f"{number:03}",
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
    random = Random(seed)
    rules = calendar(random)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET session_replication_role = replica")  # no subscribers
        writer = Writer(connection, random, rules)
        return Ledger(rules, {f"{number:03}": await writer.write(number) for number in range(PAYMENTS)})
    finally:
        await connection.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_statement_agrees_with_the_rule_on_random_ledgers(
    database: str, sessions: Sessions, seed: int
) -> None:
    ledger = await write_ledger(database, seed)
    days = [FIRST + timedelta(days=number) for number in (-1, 40, 90, 91, 200, 365, 420, 800)]

    async with sessions.begin() as session:
        found = await liability.totals(session, ledger.rules, days)

    for day, by_currency in zip(days, found, strict=True):
        for currency, payment in ledger.payments.items():
            assert by_currency.get(currency, NOTHING) == totals(payment, day), (seed, day, payment)


async def test_dropping_print_reverses_nothing_that_was_not_earned(database: str, sessions: Sessions) -> None:
    served = [FIRST + timedelta(days=15 * n) for n in range(1, 25)]
    rules = EarningRules(
        zone=ZONE.key,
        numbers=range(1, 25),
        served_on=served,
        copies={most: range(25) for most in (1, 2)},
        plans={"annual": (Fraction(24, 73), 2)},
    )
    dropped = served[9] + DAY
    connection = await asyncpg.connect(database)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed, copies,"
        " print_until) VALUES ('in_1', 'scr_1', 'annual', true, $1, $2, 24, '{[1,11)}', $3)",
        datetime.combine(FIRST, time(), ZONE),
        datetime.combine(FIRST + timedelta(days=365), time(), ZONE),
        datetime.combine(dropped, time(12), ZONE),
    )
    await connection.execute(
        "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason)"
        " VALUES ('pi_1', 'in_1', 'scr_1', 7300, 0, 'usd', $1, 'subscription_create')",
        datetime.combine(FIRST, time(9), ZONE),
    )
    await connection.execute(
        "INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by, status,"
        " created_at, work_key)"
        " VALUES ('rfd_1', 'pi_1', 'rdr', 'print_dropped', 1400, 0, 'usd', '', '', 'succeeded', $1, '')",
        datetime.combine(dropped, time(12), ZONE),
    )
    await connection.close()

    async with sessions.begin() as session:
        halfway, after = await liability.totals(session, rules, [served[4], dropped])

    digital = 4900 * ((served[4] - FIRST).days + 1) // 365
    assert halfway["usd"].earned == digital + 5_00, "5 of the 24 copies that were paid for, as before the drop"
    assert (after["usd"].reversed, after["usd"].refunded) == (0, 14_00)


async def test_a_closed_month_stays_closed_and_corrections_are_in_the_next(database: str, sessions: Sessions) -> None:
    ledger = await write_ledger(database, 3)
    march, april = date(2026, 3, 1), date(2026, 4, 1)
    async with sessions.begin() as session:
        february = await liability.close(session, ledger.rules, date(2026, 2, 1), before=None, by="staff:x", now=NOW)
        closed = await liability.close(session, ledger.rules, march, before=february, by="staff:x", now=NOW)
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE payments SET paid_at = '2026-03-05 12:00Z', amount = amount + 1000")  # known late
    await connection.close()
    ids = [f"scr_{number}" for number in range(PAYMENTS)]
    start, end = Moment(through=march - DAY, closed_month=february.month), Moment(through=last_of_month(march))
    stays, after = replace(end, closed_month=march), Moment(through=last_of_month(april))

    async with sessions.begin() as session:
        before = await liability.of_subscriptions(session, ledger.rules, start, stays, ids)
        later = await liability.of_subscriptions(session, ledger.rules, stays, after, ids)
        (now_known,) = await liability.totals(session, ledger.rules, [after.through])
        made = await liability.close(session, ledger.rules, april, before=closed, by="staff:x", now=NOW)
        kept = await liability.closings(session)

    assert sum(one.movement.closing for one in before) == owed(closed) == sum(one.movement.opening for one in later)
    assert sum(one.movement.opening for one in before) == owed(february)
    assert sum(one.movement.closing for one in later) == sum(one.owed for one in now_known.values())
    assert {name: made.totals.get(name, NOTHING) for name in now_known} == now_known
    assert kept == [february, closed, made]


async def test_the_file_has_the_subscriptions_of_the_pages(database: str, sessions: Sessions) -> None:
    ledger = await write_ledger(database, 4)
    since, until = Moment(through=date(2026, 5, 31)), Moment(through=date(2026, 6, 30))
    async with sessions.begin() as session:
        ids = await liability.subscriptions_after(session, "", limit=PAYMENTS)
        pages = await liability.of_subscriptions(session, ledger.rules, since, until, ids)
    pool = await open_pool(database, size=1, pooler=False)
    content = b"".join([part async for part in liability.csv(pool, ledger.rules, since, until)]).decode()
    await pool.close()

    header, *lines = content.splitlines()
    assert header.split(",") == ["subscription", "currency", *liability.MOVEMENT_FIGURES]
    assert sorted(lines) == sorted(",".join(map(str, (one.subscription, one.currency, *vars_of(one)))) for one in pages)
    assert 0 < len(lines) < PAYMENTS


def vars_of(one: liability.SubscriptionMovement) -> list[int]:
    return [getattr(one.movement, name) for name in liability.MOVEMENT_FIGURES]


def owed(closing: Closing) -> int:
    return sum((one.owed for one in closing.totals.values()), start=0)


async def test_print_that_was_added_again_is_earned_by_the_copies_of_its_own_period(
    database: str, sessions: Sessions
) -> None:
    """Ada drops print after 4 of 24 copies, and adds it again for the last 8."""
    starts_at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    dropped_at, again_at = starts_at + timedelta(days=60), starts_at + timedelta(days=238)
    served = [FIRST + timedelta(days=15 * n) for n in range(24)]
    closes_at = [datetime.combine(day, time(), ZONE).astimezone(UTC) for day in served]
    rules = EarningRules(
        zone=ZONE.key,
        numbers=range(1, 25),
        served_on=served,
        copies={1: range(25), 2: range(25)},
        plans=PLANS,
        closes_at=closes_at,
    )
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO subscribers (id, sub) VALUES ('rdr', 'ada');"
        "INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount,"
        " currency, created_at, work_key) VALUES ('scr', 'scr', 'rdr', 1, 'annual', true, 'active', 0, 'usd', now(), '')"
    )
    await connection.execute(
        "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed, copies,"
        " earlier_print, print_from) VALUES ('in_1', 'scr', 'annual', true, $1, $2, 24, '{[1,5),[17,25)}', $3, $4)",
        starts_at,
        starts_at + timedelta(days=365),
        [starts_at, dropped_at],
        again_at,
    )
    await connection.executemany(
        "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason, print_from)"
        " VALUES ($1, $2, 'scr', $3, 0, 'usd', $4, $5, $6)",
        [
            ("pi_1", "in_1", 7_300, starts_at, "subscription_create", None),
            ("pi_2", "in_2", 800, again_at, "manual", again_at),
        ],
    )
    await connection.execute(
        "INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by, status,"
        " created_at, made_at, work_key) VALUES ('rfd', 'pi_1', 'rdr', 'print_dropped', 2000, 0, 'usd', '', '', 'succeeded',"
        " $1, $1, '')",
        dropped_at,
    )
    await connection.close()
    ends_on = FIRST + timedelta(days=365)
    payments = [
        PaidAmount(
            paid_on=FIRST,
            net=7_300,
            print_share=PLANS["annual"][0],
            period=(FIRST, ends_on),
            copies=tuple(served[:4]),
            later_copies=20,
            print_ends_on=dropped_at.date(),
            returned=(Returned(dropped_at.date(), 2_000, of_print=True),),
        ),
        PaidAmount(
            paid_on=again_at.date(),
            net=800,
            print_share=Fraction(1),
            period=(again_at.date(), ends_on),
            copies=tuple(served[16:]),
        ),
    ]
    days = [FIRST + timedelta(days=n) for n in (50, 61, 100, 237, 241, 260, 300, 344, 366)]
    async with sessions.begin() as session:
        found = await liability.totals(session, rules, days)

    assert [one["usd"] for one in found] == [totals(payments[0], day) + totals(payments[1], day) for day in days]
    assert found[3]["usd"].earned - found[2]["usd"].earned == 4_900 * 238 // 365 - 4_900 * 101 // 365, "only digital"
    assert found[-1]["usd"].owed == 0
