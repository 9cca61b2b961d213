"""A reconciliation reads long lists in many pages at the same time, misses nothing, and continues after an interruption."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app import main
from app.context import Context
from app.domain.reconciliation import SweepKind
from app.services import catalogue, reconciliation
from app.services.reconciliation import Report
from bench import query_recorder
from bench.stripe_lists import Copies, StripeLists, copied_id
from tests.support.shop import START_TIME, Shop
from tests.support.timeouts import TIMEOUT

SIZE, PAGE = 1_200, 100
DIFFERING, UNLISTED = range(0, SIZE, 40), range(SIZE, SIZE + 3)
# Half were created within ten minutes, up to 150 of them in the same second; the others within three years.
_CHANCE = random.Random(8)
CREATED = sorted(
    int(START_TIME.timestamp())
    - (_CHANCE.choice([_CHANCE.randrange(600), 300]) if number % 2 else _CHANCE.randrange(3 * 365 * 86_400))
    for number in range(SIZE)
)
_COPY = """
INSERT INTO subscriptions SELECT (jsonb_populate_record(s, jsonb_build_object(
    'id', 'scr_' || n, 'stripe_id', 'sub_' || lpad(n::text, 8, '0'), 'work_key', 'subscription:copy-' || n,
    'status', CASE WHEN n % 40 = 0 THEN 'past_due' ELSE s.status END, 'created_at', to_timestamp(at)))).*
FROM subscriptions s, unnest($1::int[], $2::bigint[]) AS copies (n, at)
"""


@asynccontextmanager
async def long_lists(shop: Shop, *, latency: float, at_once: int = 1) -> AsyncIterator[tuple[StripeLists, Context]]:
    """Provide a Stripe with many copies of a subscription, and our records of them, some of which differ."""
    await shop.subscribe(shop.person())
    (customer,) = await shop.stripe_customers()
    (theirs,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    numbers = [*range(SIZE), *UNLISTED]
    middle = CREATED[SIZE // 2]
    await shop.pool.execute(_COPY, numbers, [*CREATED, *(middle for _ in UNLISTED)])
    lists = StripeLists({"/v1/subscriptions": Copies(theirs, [theirs["id"]])}, CREATED, latency, at_once)
    async with lists.served() as url:
        settings = shop.settings.model_copy(update={"stripe_url": url, "clock_url": None, "stripe_rate_limit": 0})
        async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
            yield lists, ctx


def check_report(report: Report) -> None:
    """Check that each object was compared once, and each difference found once."""
    repairable = Counter(one.object_id for one in report.differences if one.key is not None)
    assert repairable == Counter(copied_id("sub_x", number) for number in DIFFERING)
    unlisted = Counter(one.object_id for one in report.for_review)
    assert Counter(copied_id("sub_x", number) for number in UNLISTED) <= unlisted  # and the one that was copied
    assert set(unlisted.values()) == {1}
    assert len(unlisted) == len(UNLISTED) + 1
    assert report.sweep.counts["subscriptions"] == SIZE


async def test_all_differences_in_a_long_list_are_found_once(shop: Shop) -> None:
    async with long_lists(shop, latency=0, at_once=SIZE // PAGE // 2) as (lists, ctx):  # most pages at the same time
        sweep, _ = await reconciliation.begin(
            ctx, kind=SweepKind.RECONCILE, by="operator:test", dry_run=True, since=None
        )
        async with query_recorder.record_statements(ctx.pool) as sent, asyncio.timeout(TIMEOUT):
            report = await reconciliation.run(ctx, sweep.id, now=START_TIME)

    check_report(report)
    assert sum("SELECT EXISTS (SELECT FROM terms" in one for one, _ in sent) == 1, (
        "it reads many terms: not on every page"
    )
    assert lists.together["/v1/subscriptions"] >= SIZE // PAGE // 2


@pytest.mark.parametrize("pages", [1, 9])
async def test_an_interrupted_sweep_continues_in_the_middle_of_its_ranges(shop: Shop, pages: int) -> None:
    async with long_lists(shop, latency=0.05) as (_, ctx):
        sweep, _ = await reconciliation.begin(
            ctx, kind=SweepKind.RECONCILE, by="operator:test", dry_run=True, since=None
        )
        saved: list[int] = []

        def count(state: reconciliation.Sweep) -> None:
            saved.append(state.counts.get("subscriptions", 0))
            if sum(one > 0 for one in saved) == pages:
                running.cancel()

        running = asyncio.create_task(reconciliation.run(ctx, sweep.id, now=START_TIME, progress=count))
        with pytest.raises(asyncio.CancelledError):
            await running
        assert 0 < saved[-1] < SIZE

        again, is_continued = await reconciliation.begin(
            ctx, kind=SweepKind.RECONCILE, by="operator:test", dry_run=True, since=None
        )
        check_report(await reconciliation.run(ctx, again.id, now=START_TIME))

    assert (again.id, is_continued) == (sweep.id, True)
