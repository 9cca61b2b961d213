"""The statement that finds the term of a payment within one agrees with the rule, on random terms and payments."""

from datetime import UTC, datetime, timedelta
from random import Random

import asyncpg

from app.db.progress import is_later, term_of_later
from app.domain.progress import term_of
from app.domain.subscriptions import Payment, Term

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SUBSCRIPTIONS = 200
REASONS = ("subscription_create", "subscription_cycle", "subscription_update", "manual")


async def test_the_statement_finds_the_term_of_the_rule(database: str) -> None:
    random = Random(7)
    connection = await asyncpg.connect(database)
    await connection.execute("SET session_replication_role = replica")  # no subscribers
    expected: dict[str, str | None] = {}

    def moment() -> datetime:
        return FIRST + timedelta(days=random.randint(0, 30))

    for number in range(SUBSCRIPTIONS):
        subscription = f"scr_{number}"
        terms = [
            Term(
                invoice_id=f"in_{number}_{each}",
                plan="annual",
                print_edition=True,
                starts_at=(starts_at := moment()),
                ends_at=starts_at + timedelta(days=10),
                issues_owed=24,
            )
            for each in range(random.randint(0, 4))
        ]
        payment = Payment(
            id=f"pi_{number}",
            invoice_id=f"in_{number}_print",
            amount=1,
            tax=0,
            currency="usd",
            paid_at=moment(),
            billing_reason=random.choice(REASONS),
            print_from=random.choice((None, moment())),
        )
        await connection.executemany(
            "INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)"
            " VALUES ($1, $2, 'annual', true, $3, $4, 24)",
            [(one.invoice_id, subscription, one.starts_at, one.ends_at) for one in terms],
        )
        await connection.execute(
            "INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason,"
            " print_from) VALUES ($1, $2, $3, 1, 0, 'usd', $4, $5, $6)",
            payment.id,
            payment.invoice_id,
            subscription,
            payment.paid_at,
            payment.billing_reason,
            payment.print_from,
        )
        found = term_of(payment, terms)
        expected[payment.id] = found.invoice_id if found is not None else None

    rows = await connection.fetch(
        f"SELECT id, CASE WHEN {is_later('p')} THEN {term_of_later('p')} END AS term FROM payments p"
    )
    await connection.close()

    assert {row["id"]: row["term"] for row in rows} == expected
    assert len({one for one in expected.values() if one is not None}) > SUBSCRIPTIONS // 3
