"""
Mark the events whose payload is reduced to what is used of it. A worker reduces the others in batches.

Locks: the new column has a constant default, so its ACCESS EXCLUSIVE lock on events is held for milliseconds and nothing is
rewritten. The release that is running inserts its whole payloads as not reduced, so a worker finds them. The index is built
CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An incomplete index is dropped first,
so that the step can be repeated.
"""

from alembic import op

revision = "reduced_payloads"
down_revision = "refund_requests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE events ADD COLUMN IF NOT EXISTS is_reduced boolean DEFAULT false NOT NULL")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_unreduced_idx")
        op.execute("CREATE INDEX CONCURRENTLY events_unreduced_idx ON events (id) WHERE NOT is_reduced")


def downgrade() -> None:
    """Undo. Reduced payloads stay reduced."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_unreduced_idx")
    op.drop_column("events", "is_reduced")
