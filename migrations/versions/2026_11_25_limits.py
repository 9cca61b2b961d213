"""
Buckets for Stripe's rate limits, and an index of events by their object.

Locks: the table is new, so nothing waits. The index on events is built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and
writes continue), outside a transaction. An incomplete index is dropped first, so that the step can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "limits"
down_revision = "ends"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "buckets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("buckets_pkey")),
        prefixes=["UNLOGGED"],
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_object_id_idx")
        op.execute("CREATE INDEX CONCURRENTLY events_object_id_idx ON events (object_id) WHERE object_id IS NOT NULL")


def downgrade() -> None:
    """Undo. The release before does not know the table."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_object_id_idx")
    op.drop_table("buckets")
