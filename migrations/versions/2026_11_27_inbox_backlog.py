"""
An index of waiting events by state and age, so that a backlog doesn't slow down the readiness probe.

Locks: the index on events is built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a
transaction. An incomplete index is dropped first, so that the step can be repeated.
"""

from alembic import op

revision = "inbox_backlog"
down_revision = "contacts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_waiting_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY events_waiting_idx ON events (state, received_at) WHERE due_at IS NOT NULL"
        )


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_waiting_idx")
