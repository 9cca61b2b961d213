"""
How migrations run: one at a time, and never waiting long for a lock.

A migration that cannot get its lock within ``lock_timeout`` fails and is run again, instead of standing in the queue
before every reader of the table. ``newsstand migrate`` hands the connection over in ``config.attributes``.
"""

from alembic import context
from sqlalchemy import Connection, text

from app.db.models import Base

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"
ADVISORY_LOCK = 5_720_240_115  # any number that no other lock uses; two runs of `migrate` wait for each other


def run_online(connection: Connection) -> None:
    """Migrate over the connection that was handed over."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.commit()
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})"))
        connection.commit()


def run_offline() -> None:
    """Print the SQL instead, for review and for the linter."""
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes["connection"])
