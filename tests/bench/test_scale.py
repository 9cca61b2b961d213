"""With 20,000 readers, no query of ``app/db`` has a plan whose cost grows with a table."""

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.db.models import Base
from bench.scale import backlog
from bench.scale.fill import FEWEST_ROWS, TABLES, Size, fill
from bench.scale.plans import LARGE, judge
from bench.scale.run import QUERIES, explain_all
from tests.support.database import Postgres

ROOT = Path(__file__).parents[2]
READERS = 20_000  # the fewest for which PostgreSQL chooses the same plans as for a million
ON_STAFF_OR_CALENDAR = {
    "api_keys",
    "signing_keys",
    "issues",
    "staff_members",
    "staff_sessions",
}  # a handful of rows each
PARTS_OF_OTHERS: set[str] = set()  # functions that take sessions or a pool, and are covered by those that they call
SMALL = {
    "api_keys",
    "audit_unsealed",
    "buckets",
    "calendar_edition",
    "derivation_runs",
    "dismissals",
    "erasures",
    "figures",
    "issue_circulation",
    "issue_delays",
    "issues",
    "label_runs",
    "leases",
    "liability_closings",
    "notification_opt_outs",
    "notification_policies",
    "offer_versions",
    "offers",
    "pending_revocations",
    "price_migrations",
    "recoveries",
    "retention_runs",
    "logout_tokens",
    "sign_outs",
    "signing_keys",
    "staff_members",
    "staff_sessions",
    "sweeps",
    "webhook_endpoints",
    "work_item_marks",
}


@pytest.fixture
async def filled(postgres: Postgres) -> AsyncIterator[str]:
    """Provide the URL of a filled database."""
    dsn = await postgres.create()
    await fill(dsn, Size(READERS), report=lambda _: None)
    yield dsn
    await postgres.drop(dsn)


@pytest.mark.timeout(1800)  # with filling the database, which a busy machine does slowly
async def test_no_plan_grows_with_a_table(filled: str) -> None:
    found = []
    for due in (0, 5_000):
        await backlog.make_due(filled, due)
        async for report in explain_all(filled, Size(READERS)):
            found += [f"with {due} due rows: {finding}" for finding in report.findings]

    assert not found, "\n".join(found)


def test_every_query_of_the_database_layer_is_explained() -> None:
    explained = {query.name for query in QUERIES}
    missing = []
    for path in sorted((ROOT / "app" / "db").glob("*.py")):
        for function in ast.parse(path.read_text()).body:
            name = f"{path.stem}.{getattr(function, 'name', '')}"
            if isinstance(function, ast.AsyncFunctionDef) and not function.name.startswith("_"):
                known = name in explained or name in PARTS_OF_OTHERS or path.stem in ON_STAFF_OR_CALENDAR
                missing += [] if known else [name]

    assert not missing, f"Add a call to a module of bench/scale: {missing}"


def test_every_table_that_grows_is_filled() -> None:
    size = Size(READERS)
    filled = {table.table for table in TABLES if size.rows(table) >= FEWEST_ROWS}

    assert filled | SMALL == set(Base.metadata.tables)
    assert FEWEST_ROWS > LARGE


@pytest.mark.parametrize(
    ("plan", "findings"),
    [
        pytest.param({"Node Type": "Seq Scan", "Relation Name": "events"}, ["sequential scan of events"], id="scan"),
        pytest.param({"Node Type": "Seq Scan", "Relation Name": "issues"}, [], id="scan of a small table"),
        pytest.param(
            {"Node Type": "Seq Scan", "Relation Name": "events", "Actual Loops": 0}, [], id="scan that did not run"
        ),
        pytest.param(
            {"Node Type": "Limit", "Plans": [{"Node Type": "Sort", "Sort Space Type": "Disk"}]},
            ["sorts on disk"],
            id="sort on disk",
        ),
        pytest.param({"Node Type": "Hash", "Hash Batches": 4}, ["hashes on disk"], id="hash on disk"),
        pytest.param(
            {"Node Type": "Index Scan", "Relation Name": "events", "Actual Rows": 5, "Rows Removed by Filter": 96},
            ["101 rows of events are read"],
            id="rows that are read and dropped",
        ),
        pytest.param(
            {"Node Type": "Index Scan", "Relation Name": "events", "Actual Rows": 5, "Actual Loops": 20},
            [],
            id="few rows, many times",
        ),
    ],
)
def test_what_is_wrong_with_a_plan(plan: dict[str, object], findings: list[str]) -> None:
    assert list(judge(plan, {"events": 5000.0}, max_rows=100)) == findings
