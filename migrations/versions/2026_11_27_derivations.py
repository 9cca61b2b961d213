"""
What each term was promised, the history of offers, and the progress of changes that derive grants again.

Locks: the columns have no default, so ADD COLUMN only takes ACCESS EXCLUSIVE on terms and calendar_work for a moment. The
tables are new.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "derivations"
down_revision = "change_feed_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "offers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("offers_pkey")),
    )
    op.create_table(
        "offer_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("offer_versions_pkey")),
    )
    op.create_table(
        "derivation_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("change", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("editions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("found", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("visited", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("derivation_runs_pkey")),
    )
    op.create_index(
        "derivation_runs_due_at_idx", "derivation_runs", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index("derivation_runs_created_at_idx", "derivation_runs", ["created_at"])
    op.add_column("calendar_work", sa.Column("run_id", sa.Text(), nullable=True))
    op.add_column("terms", sa.Column("offer", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("terms", "offer")
    op.drop_column("calendar_work", "run_id")
    op.drop_table("derivation_runs")
    op.drop_table("offer_versions")
    op.drop_table("offers")
