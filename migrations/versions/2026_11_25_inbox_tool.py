"""
Find all events by the object that is refetched for them, in every state.

Locks: the index is built, and the narrower one that it replaces is dropped, CONCURRENTLY: SHARE UPDATE EXCLUSIVE, so events
are still received and applied. Each step can be repeated; an incomplete index is dropped first. The running release queries by
``work_key`` too, and can use the wider index.
"""

from alembic import op

revision = "inbox_tool"
down_revision = "lives"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_key_idx")
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS events_key_idx ON events (work_key)")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_work_key_idx")


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_work_key_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS events_work_key_idx ON events (work_key) WHERE due_at IS NOT NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_key_idx")
