"""A command that is suspended, as with Ctrl-Z, does not keep its locks for long."""

from sqlalchemy import text

from app.cli.startup import open_database
from app.settings import Settings

TIMEOUTS = """SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout'),
current_setting('statement_timeout')"""


async def test_a_command_has_time_outs_at_the_server(database: str) -> None:
    async with open_database(Settings(database_url=database)) as ctx, ctx.sessions.begin() as session:
        assert (await session.execute(text(TIMEOUTS))).one() == ("30s", "10s", "1h")
