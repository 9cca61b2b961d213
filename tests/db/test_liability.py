"""The statement of the liability report agrees with the rule, on random ledgers; and a closed month stays closed."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction

import asyncpg
import pytest

from app.db import liability
from app.db.engine import long_statements
from app.db.engine.copying import CsvExports
from app.db.engine.session import Sessions
from app.db.liability import Closing, Moment
from app.db.liability_statements import TOTALS
from app.domain.liability import (
    DAY,
    NOTHING,
    EarningRules,
    PaidAmount,
    Returned,
    Totals,
    last_of_month,
    movement,
    totals,
)
from tests.support.random_ledger import FIRST, PAYMENTS, PLANS, ZONE, write_ledger, write_shared_ledger

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=number) for number in (-1, 40, 90, 91, 200, 365, 420, 800)]


@pytest.mark.parametrize("seed", [1, 2, 116])
async def test_the_statement_agrees_with_the_rule_on_random_ledgers(
    database: str, sessions: Sessions, seed: int
) -> None:
    ledger = await write_ledger(database, seed)

    async with sessions.begin() as session:
        found = await liability.totals(session, ledger.rules, DAYS)

    for day, by_currency in zip(DAYS, found, strict=True):
        for currency, payment in ledger.payments.items():
            assert by_currency.get(currency, NOTHING) == totals(payment, day), (seed, day, payment)


@pytest.mark.parametrize("seed", [5, 6, 7, 200])
async def test_payments_that_are_counted_together_agree_with_the_rule(
    database: str, sessions: Sessions, seed: int
) -> None:
    ledger = await write_shared_ledger(database, seed)
    since, until = DAYS[2], DAYS[4]

    async with sessions.begin() as session:
        found = await liability.totals(session, ledger.rules, DAYS)
        alone = [await liability.totals(session, ledger.rules, [day]) for day in DAYS]
        of_subscriptions = await liability.of_subscriptions(
            session, ledger.rules, Moment(through=since), Moment(through=until), list(ledger.payments)
        )

    for day, by_currency in zip(DAYS, found, strict=True):
        expected: dict[str, Totals] = {}
        for currency, payment in ledger.payments.values():
            expected[currency] = expected.get(currency, NOTHING) + totals(payment, day)
        assert by_currency == expected, (seed, day)
    assert [by_currency for (by_currency,) in alone] == found
    movements = {
        (subscription, currency): movement(totals(payment, since), totals(payment, until))
        for subscription, (currency, payment) in ledger.payments.items()
    }
    assert {(one.subscription, one.currency): one.movement for one in of_subscriptions} == {
        name: one for name, one in movements.items() if not one.is_empty
    }


async def test_many_returns_are_looked_up_in_memory(database: str, sessions: Sessions) -> None:
    """Otherwise, all of them would be searched for each payment."""
    rules = (await write_ledger(database, 1)).rules
    connection = await asyncpg.connect(database)
    for table in ("refunds", "issue_adjustments"):  # or it replaces what follows
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await connection.execute(
        "UPDATE pg_class SET reltuples = 50000000, relpages = pg_relation_size(oid) / 8192"
        " WHERE oid IN ('refunds'::regclass, 'issue_adjustments'::regclass)"
    )
    await connection.close()
    parameters = liability._parameters(rules, [Moment(through=FIRST)])

    async with sessions.begin() as session:
        await liability.totals(session, rules, [FIRST])
        plan = await long_statements.fetch(session, f"EXPLAIN VERBOSE {TOTALS}", parameters, zone=rules.zone)

    lines = "\n".join(line for (line,) in plan)
    assert "(hashed SubPlan" in lines
    assert "= (SubPlan" not in lines


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
    exports = await CsvExports.open(database, pooler=False)
    content = b"".join([part async for part in await liability.csv(exports, ledger.rules, since, until)]).decode()
    await exports.close()

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
