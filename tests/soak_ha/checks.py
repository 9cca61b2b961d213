"""What must hold after a scenario: nothing lost, paid twice, refused or stuck."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import asyncpg

from tests.soak_ha.load import Record
from tests.soak_ha.scenarios import BACK_WITHIN, Scenario
from tests.soak_ha.site import PRICE, Site

STUCK_SECONDS = 30.0  # from the end of the load until all work is done
PATIENCE = 180.0  # then the rig gives up, and reports what is left
_UNFINISHED = """
SELECT 'event ' || state || ' ' || work_key || coalesce(': ' || last_error, '') FROM events
    WHERE due_at IS NOT NULL OR state NOT IN ('applied', 'ignored')
UNION ALL SELECT 'refund ' || status || ' ' || id FROM refunds WHERE due_at IS NOT NULL OR status = 'processing'
UNION ALL SELECT 'subscription ' || stripe_id FROM subscriptions WHERE due_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of a run, and what is wrong with it."""

    figures: dict[str, object]
    wrong: list[str]


async def judge(site: Site, scenario: Scenario, record: Record, *, broken_at: float) -> Verdict:
    """Wait until the work is done, and check everything."""
    connection = await asyncpg.connect(site.direct)
    try:
        seconds, left = await wait_until_done(connection)
        lost = await lost_events(connection, record)
    finally:
        await connection.close()
    gap = record.longest_gap(broken_at)
    errors = [one for one in record.answers if one.status is not None and one.status >= 500 and one.status != 503]
    unanswered = [one for one in record.answers if one.status is None]
    wrong = [f"lost: {one}" for one in lost[:5]]
    wrong += [f"refused: {words}" for words in record.refused[:5]]
    wrong += [f"{one.status} for {one.kind} at {one.at:.1f} s: {one.words}" for one in errors[:5]]
    if seconds > STUCK_SECONDS:
        wrong.append(f"work was left for {seconds:.0f} s after the load; now {left[:5]}")
    if gap > BACK_WITHIN + scenario.down:
        wrong.append(f"no event was acknowledged for {gap:.1f} s; at most {BACK_WITHIN + scenario.down:.0f} is allowed")
    if scenario.lossless:
        failed = [one for one in record.answers if one.status is None or one.status >= 500]
        wrong += [f"{one.kind} at {one.at:.1f} s: {one.status} {one.words}" for one in failed[:5]]
    wrong += await wrong_refunds(site, record)
    figures = {
        "acknowledged": len(record.acknowledged),
        "lost": len(lost),
        "refused": len(record.refused),
        "refunds": len(record.refunded),
        "server_errors": len(errors),
        "unanswered": len(unanswered),
        "left_out": record.left_out,
        "back_after": round(gap, 1),
        "done_after": round(seconds, 1),
        "check_p99": round(record.slowest("check", 0.99), 2),
        "answers": record.statuses(),
        "reasons": record.reasons(),
    }
    return Verdict(figures, wrong)


async def wait_until_done(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[float, list[str]]:
    """Return how many seconds it took until all work was done, and what is left if that took too long."""
    began = time.monotonic()
    while True:
        left = [str(row[0]) for row in await connection.fetch(_UNFINISHED)]
        seconds = time.monotonic() - began
        if not left or seconds > PATIENCE:
            return seconds, left
        await asyncio.sleep(0.5)


async def lost_events(connection: "asyncpg.Connection[asyncpg.Record]", record: Record) -> list[str]:
    """Return the acknowledged events that are not in the inbox."""
    wanted = list(record.acknowledged)
    found = await connection.fetch("SELECT id FROM events WHERE id = ANY($1::text[])", wanted)
    return sorted(set(wanted) - {str(row["id"]) for row in found})


async def wrong_refunds(site: Site, record: Record) -> list[str]:
    """Return the refunds that were not paid exactly once, according to Stripe."""
    paid: Counter[str] = Counter()
    for refund in await site.stripe_list("/v1/refunds"):
        if refund["status"] not in {"failed", "canceled"}:
            paid[refund["payment_intent"]] += refund["amount"]
    wrong = [f"{one.sub} was refunded {paid[one.payment]} of {PRICE}" for one in record.refunded]
    wrong = [words for one, words in zip(record.refunded, wrong, strict=True) if paid[one.payment] != PRICE]
    return wrong + [f"{payment} was refunded {amount}" for payment, amount in paid.items() if amount > PRICE]
