"""
Sweeps through Stripe's lists, and the differences they found.

Locks: both tables are new, so nothing waits. The index on subscriptions is built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads
and writes continue), outside a transaction. An incomplete index is dropped first, so that the step can be repeated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "reconciliation"
down_revision = "inbox_tool"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("cursor", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("sweeps_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "sweeps_due_at_idx", "sweeps", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"), if_not_exists=True
    )
    op.create_index(
        "sweeps_one_scheduled_idx",
        "sweeps",
        ["by"],
        unique=True,
        postgresql_where=sa.text("by = 'schedule' AND finished_at IS NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "differences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sweep_id", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name=op.f("differences_sweep_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("differences_pkey")),
        if_not_exists=True,
    )
    op.create_index("differences_sweep_id_object_id_idx", "differences", ["sweep_id", "object_id"], if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscriptions_created_at_idx")
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS subscriptions_created_at_idx ON subscriptions (created_at)")


def downgrade() -> None:
    """Undo. The release before knows nothing of it."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscriptions_created_at_idx")
    op.drop_table("differences")
    op.drop_table("sweeps")
