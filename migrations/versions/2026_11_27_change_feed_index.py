"""
The index by which the change feed finds the rows that were changed since it last read.

Locks: the index is built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An
incomplete index is dropped first, so that the step can be repeated.
"""

from alembic import op

revision = "change_feed_index"
down_revision = "change_feed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS entitlements_changed_in_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY entitlements_changed_in_idx ON entitlements (changed_in)"
            " WHERE changed_in IS NOT NULL"
        )


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS entitlements_changed_in_idx")
