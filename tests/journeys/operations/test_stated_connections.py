"""Each running process states how many connections it may open, once."""

from app.db.engine.connection_budget import application_name, budget_of
from tests.support.many_subscribers import worker_process
from tests.support.shop import Shop

STATED = (
    "SELECT application_name FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'newsstand connections=%'"
)


async def test_a_process_states_its_budget_on_one_connection(shop: Shop) -> None:
    await shop.wait_until(f"SELECT count(*) = 1 FROM ({STATED}) AS stated")
    own = application_name(shop.settings, api=True, worker=True)
    assert str(budget_of(shop.settings, api=True, worker=True).total) in own
    assert await shop.rows(STATED) == [{"application_name": own}]

    async with worker_process(shop.settings):
        await shop.wait_until(f"SELECT count(*) = 2 FROM ({STATED}) AS stated")
        names = {row["application_name"] for row in await shop.rows(STATED)}
        assert names == {own, application_name(shop.settings, api=False, worker=True)}
