"""
How migrations run: one at a time, and never waiting long for a lock.

A migration that cannot get its lock within ``lock_timeout`` fails and is run again, instead of standing in the queue
before every reader of the table. ``newsstand migrate`` hands the connection over in ``config.attributes``, and the role that
may use the tables, which is allowed to in the same turn.
"""

import time
from typing import Any

from alembic import context
from sqlalchemy import Connection, event, text

from app.db.engine import schema
from app.db.models import Base

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"
ADVISORY_LOCK = 5_720_240_115  # any number that no other lock uses
POLL_SECONDS = 0.5
INVALID_INDEXES = """
SELECT format('%I.%I', n.nspname, c.relname), c.relname ~ '_cc(new|old)[0-9]*$' AS is_copy
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND n.nspname = current_schema() AND c.relkind = 'i'
"""


def run_online(connection: Connection, role: str | None) -> None:
    """Migrate over the connection that was handed over, and let the role use the tables."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    _take_turn(connection)
    _set_timeouts(connection, LOCK_TIMEOUT, STATEMENT_TIMEOUT)
    connection.commit()
    event.listen(connection, "before_cursor_execute", _lift_timeouts)
    event.listen(connection, "after_cursor_execute", _restore_timeouts)
    try:
        with context.begin_transaction():
            context.run_migrations()
        connection.rollback()
        _rebuild_invalid_indexes(connection)
        if role is not None:
            schema.grant(connection, role)
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})"))
        connection.commit()


def _take_turn(connection: Connection) -> None:
    """
    Wait until no other migration runs.

    The lock is polled: a run that waited inside a statement would keep its snapshot. An index that the other run builds
    concurrently waits for that snapshot, so both would deadlock.
    """
    while not connection.scalar(text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})")):
        connection.rollback()
        time.sleep(POLL_SECONDS)
    connection.commit()


def _set_timeouts(connection: Connection, lock: str, statement: str) -> None:
    connection.execute(text(f"SET lock_timeout = '{lock}'"))
    connection.execute(text(f"SET statement_timeout = '{statement}'"))


def _lift_timeouts(_: Connection, cursor: Any, statement: str, *__: object) -> None:
    """
    Let an index that is built or dropped concurrently wait for as long as it takes.

    It blocks nobody while it waits for older transactions, and a time-out would leave it invalid.
    """
    if "CONCURRENTLY" in statement:
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SET statement_timeout = 0")


def _restore_timeouts(_: Connection, cursor: Any, statement: str, *__: object) -> None:
    if "CONCURRENTLY" in statement:
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")


def _rebuild_invalid_indexes(connection: Connection) -> None:
    """
    Rebuild the indexes that an interrupted build left invalid: every write maintains them, and no query uses them.

    An interrupted rebuild leaves the copy that it was making, or the one that it had replaced. These are dropped: rebuilt,
    they would be duplicates that stay forever.
    """
    invalid = [(str(index), bool(is_copy)) for index, is_copy in connection.execute(text(INVALID_INDEXES))]
    connection.commit()
    with context.get_context().autocommit_block():
        for index, is_copy in invalid:
            if is_copy:
                print(f"Dropping the index {index}, which an interrupted rebuild left behind ...", flush=True)
                connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index}"))
        for index in [index for index, is_copy in invalid if not is_copy]:
            print(f"Rebuilding the index {index}, which an interrupted build left invalid ...", flush=True)
            connection.execute(text(f"REINDEX INDEX CONCURRENTLY {index}"))


def run_offline() -> None:
    """Print the SQL instead, for review and for the linter."""
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes["connection"], context.config.attributes["role"])
