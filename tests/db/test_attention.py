"""Counting what needs attention costs the same for any backlog."""

import asyncpg

from app.db import attention, disputes
from app.db.engine.session import Sessions

MANY = 1_100


async def test_counting_stops_at_a_thousand_of_each_kind(database: str, sessions: Sessions) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("SET session_replication_role = replica")  # no payments
    await connection.execute(
        "INSERT INTO declarations (id, kind, channel, received_at, words, acknowledgment, status, work_key)"
        " SELECT 'dec_' || n, 'cancellation', 'reader', now(), '{}', '', 'queued', 'w' FROM generate_series(1, $1::int) n",
        MANY,
    )
    await connection.execute(
        "INSERT INTO disputes (id, charge_id, status, reason, amount, currency, opened_at, concern, is_charge_refundable)"
        " SELECT 'dp_' || n, 'ch_' || n, 'needs_response', 'general', 1, 'usd', now(), 'unknown_payment', false"
        " FROM generate_series(1, $1::int) n",
        MANY,
    )
    await connection.close()

    async with sessions.begin() as session:
        counted = await attention.counts(session)
        is_open = await disputes.count_open(session)

    assert counted == dict.fromkeys(attention.KINDS, 0) | {"declaration": 1_000, "dispute": 1_000}
    assert is_open == 1_000
