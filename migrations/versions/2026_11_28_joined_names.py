"""
Names with a dash, written together, for the search: who typed "annemarie" did not find Anne-Marie.

A worker of this release adds the parts of the existing names in short slices: every name with a dash that differs from
``joined_name`` is due. The release before does not know the column, so what it indexes meanwhile stays due.

Locks: ACCESS EXCLUSIVE on subscribers for a moment, to add a column without a default, which rewrites nothing. The index is
built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An incomplete index is dropped
first, so that the step can be repeated.
"""

from alembic import op

revision = "joined_names"
down_revision = "more_storage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE subscribers ADD COLUMN IF NOT EXISTS joined_name text")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscribers_unjoined_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY subscribers_unjoined_idx ON subscribers (id)"
            " WHERE name ~ '[-‐‑‒–—―־﹣－]' AND name IS DISTINCT FROM joined_name"
        )


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscribers_unjoined_idx")
    op.drop_column("subscribers", "joined_name")
