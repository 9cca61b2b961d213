"""The report of a sweep lists the first differences and counts all, because a large import finds millions."""

from pydantic import SecretStr
from sqlalchemy import text

from app import main
from app.db.engine.session import Sessions
from app.services import catalogue, reconciliation
from app.settings import Settings
from tests.support.shop import CATALOGUE, START_TIME

SWEEP = """
INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key)
VALUES ('swp_1', 'import', 'test', true, 'done', '{}', '{}', 'reconcile')
"""
# Of 3,000 rows, the last 1,500 need review, but for 100 that are unusual.
DIFFERENCES = """
INSERT INTO differences (sweep_id, object_id, words, key, code)
SELECT 'swp_1', 'sub_' || n, 'differs', CASE WHEN n <= 1500 THEN 'subscription:sub_' || n END,
    CASE WHEN n > 2900 THEN 'two_plans' END
FROM generate_series(1, 3000) n
"""


async def test_a_report_lists_the_first_differences_and_counts_all(database: str, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text(SWEEP))
        await session.execute(text(DIFFERENCES))

    async with main.open_context(Settings(database_url=SecretStr(database)), catalogue.load(CATALOGUE)) as ctx:
        report = await reconciliation.run(ctx, "swp_1", now=START_TIME)

    assert (report.counts.total, report.counts.for_review, report.unlisted) == (3000, 1400, 2000)
    assert report.counts.unusual == 100
    assert report.differences == report.for_review  # what needs review is listed first
    assert [one.object_id for one in report.for_review] == [f"sub_{n}" for n in range(1501, 2501)]
    assert [one.object_id for one in report.unusual] == [f"sub_{n}" for n in range(2901, 3001)]


async def test_what_needs_review_is_listed_before_many_that_are_repaired(database: str, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text(SWEEP))
        await session.execute(text(DIFFERENCES))
        await session.execute(
            text("DELETE FROM differences WHERE key IS NULL AND object_id NOT IN ('sub_1501', 'sub_3000')")
        )

    async with main.open_context(Settings(database_url=SecretStr(database)), catalogue.load(CATALOGUE)) as ctx:
        report = await reconciliation.run(ctx, "swp_1", now=START_TIME)

    assert [one.object_id for one in report.differences[:2]] == ["sub_1501", "sub_1"]
    assert (len(report.differences), report.unlisted, report.counts.unusual) == (1000, 502, 1)
