"""The number of connections that a process may open is computed, and compared with the server's limits."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.db.engine import connection_budget
from app.db.engine.connection_budget import ConnectionBudget, ServerCapacity, TooManyConnections, budget_of, warning
from app.settings import Settings
from tests.support.database import Postgres

GUIDE = Path(__file__).parents[3] / "docs/operate/deploy.md"
BUDGET = ConnectionBudget(sessions=20, hot_routes=10, listeners=2)
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
    words = warning(BUDGET, ServerCapacity(allowed=allowed, in_use=in_use), pooler=pooler)

    assert (words is not None and "NEWSSTAND_DATABASE_POOL_SIZE" in words) == warns


@pytest.mark.parametrize(("allowed", "pooler"), [(31, False), (1, True)])
def test_a_process_that_does_not_fit_alone_is_refused(allowed: int, pooler: bool) -> None:
    with pytest.raises(TooManyConnections, match="Lower NEWSSTAND_DATABASE_POOL_SIZE, or raise max_connections"):
        warning(BUDGET, ServerCapacity(allowed=allowed, in_use=0), pooler=pooler)


async def test_the_limit_of_the_database_counts(database: str, postgres: Postgres) -> None:
    name = urlsplit(database).path.removeprefix("/")
    settings = Settings()
    with capture_logs() as logs:
        await connection_budget.check(settings, database, api=True, worker=True)
    (line,) = [one for one in logs if one["event"] == "connection_budget"]
    assert (line["total"], line["server_allows"] > 32) == (32, True)

    owner = await asyncpg.connect(postgres.maintenance_dsn)
    await owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 20')
    await owner.close()
    with pytest.raises(TooManyConnections, match="the server allows 20"):
        await connection_budget.check(settings, database, api=True, worker=True)


async def test_a_process_starts_although_the_database_is_away() -> None:
    with capture_logs() as logs:
        await connection_budget.check(Settings(), "postgresql://postgres@127.0.0.1:9/none", api=True, worker=False)

    assert [(one["event"], one["server_allows"]) for one in logs] == [("connection_budget", None)]
