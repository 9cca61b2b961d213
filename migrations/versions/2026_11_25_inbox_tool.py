"""
Events are found by what is looked at for them, whatever became of them.

Locks: the index is built, and the narrower one that it replaces is dropped, CONCURRENTLY: SHARE UPDATE EXCLUSIVE, under which
events keep coming and being applied. Each step can be repeated; a build that was cut short is dropped first. The release
that is running asks by ``work_key`` as well, and the wider index answers it.
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
