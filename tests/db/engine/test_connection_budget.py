"""The number of connections that a process may open is computed, and compared with the server's limits."""

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.db.engine import connection_budget, connections
from app.db.engine.connection_budget import (
    ConnectionBudget,
    ServerCapacity,
    TooManyConnections,
    application_name,
    budget_of,
    warning,
)
from app.settings import Settings
from tests.support.database import Postgres
from tests.support.timeouts import TIMEOUT

GUIDE = Path(__file__).parents[3] / "docs/operate/deploy.md"
BUDGET = ConnectionBudget(sessions=18, hot_routes=9, exports=1, probes=2, listeners=2)
PROCESSES = {"serve": (True, True), "serve --no-worker": (True, False), "worker": (False, True)}


def test_the_guide_has_the_budget_of_each_process() -> None:
    documented = dict(re.findall(r"^\| `newsstand ([a-z -]+)` \| (\d+) \|$", GUIDE.read_text(), re.MULTILINE))
    settings = Settings()
    computed = {name: budget_of(settings, api=api, worker=worker).total for name, (api, worker) in PROCESSES.items()}

    assert {name: int(total) for name, total in documented.items()} == computed


@pytest.mark.parametrize(
    ("allowed", "in_use", "pooler", "warns"),
    [
        pytest.param(97, 10, False, False, id="it fits"),
        pytest.param(97, 65, False, False, id="it just fits"),
        pytest.param(97, 66, False, True, id="others have too many"),
        pytest.param(32, 0, False, False, id="it fits alone"),
        pytest.param(2, 0, True, False, id="behind a pooler, only the listeners count"),
        pytest.param(2, 1, True, True, id="behind a pooler, others have too many"),
    ],
)
def test_a_warning_names_the_setting(allowed: int, in_use: int, pooler: bool, warns: bool) -> None:
    words = warning(BUDGET, ServerCapacity(allowed, in_use, in_use_elsewhere=in_use), pooler=pooler)

    assert (words is not None and "NEWSSTAND_DATABASE_POOL_SIZE" in words) == warns


@pytest.mark.parametrize(("allowed", "pooler"), [(31, False), (1, True)])
def test_a_process_that_does_not_fit_alone_is_refused(allowed: int, pooler: bool) -> None:
    with pytest.raises(TooManyConnections, match="Lower NEWSSTAND_DATABASE_POOL_SIZE, or raise max_connections"):
        warning(BUDGET, ServerCapacity(allowed, in_use=0), pooler=pooler)


@pytest.mark.parametrize(
    ("stated", "in_use", "elsewhere", "sum_"),
    [
        pytest.param(60, 12, 5, None, id="all budgets fit"),
        pytest.param(61, 12, 5, 98, id="the budgets of running processes count, not what they have now"),
        pytest.param(0, 66, 0, 98, id="a process that states none counts with what it has now"),
    ],
)
def test_the_budgets_of_all_processes_are_added(stated: int, in_use: int, elsewhere: int, sum_: int | None) -> None:
    words = warning(BUDGET, ServerCapacity(97, in_use, elsewhere, stated), pooler=False)

    assert (words is None) == (sum_ is None)
    assert words is None or f"together may need {sum_} connections" in words
    assert words is None or "the server allows 97" in words


async def test_each_process_knows_the_budgets_of_the_others(database: str, postgres: Postgres) -> None:
    name = urlsplit(database).path.removeprefix("/")
    owner = await asyncpg.connect(postgres.maintenance_dsn)
    await owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 90')
    await owner.close()
    settings = Settings()
    states = [application_name(settings, api=api, worker=not api) for api in (True, True, False)]
    running = [await connections.connect(database, name=one) for one in states]

    with capture_logs() as logs:
        await connection_budget.check(settings, database, api=False, worker=True)
    (tight,) = [one["reason"] for one in logs if one["event"] == "connection_budget_tight"]
    sums = re.search(
        r"need (\d+) connections \(103 of the processes that run, 31 of this one, (\d+) of others\)", tight
    )
    assert sums is not None, tight
    assert int(sums[1]) == 134 + int(sums[2])  # other tests have connections to other databases
    assert "the server allows 90" in tight

    running.append(await connections.connect(database, name=states[2]))
    with capture_logs() as logs:
        await connection_budget.check_running(settings, database)
    assert "(134 of the processes that run, " in logs[0]["reason"]
    for one in running:
        await one.close()
    async with asyncio.timeout(TIMEOUT):  # until the server has noticed
        while logs:
            with capture_logs() as logs:
                await connection_budget.check_running(settings, database)


async def test_the_limit_of_the_database_counts(database: str, postgres: Postgres) -> None:
    name = urlsplit(database).path.removeprefix("/")
    settings = Settings()
    with capture_logs() as logs:
        await connection_budget.check(settings, database, api=True, worker=True)
    (line,) = [one for one in logs if one["event"] == "connection_budget"]
    assert (line["total"], line["server_allows"] > 37) == (37, True)

    owner = await asyncpg.connect(postgres.maintenance_dsn)
    await owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 20')
    await owner.close()
    with pytest.raises(TooManyConnections, match="the server allows 20"):
        await connection_budget.check(settings, database, api=True, worker=True)


async def test_a_process_starts_although_the_database_is_away() -> None:
    with capture_logs() as logs:
        await connection_budget.check(Settings(), "postgresql://postgres@127.0.0.1:9/none", api=True, worker=False)

    assert [(one["event"], one["server_allows"]) for one in logs] == [("connection_budget", None)]
