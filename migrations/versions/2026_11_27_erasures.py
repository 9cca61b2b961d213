"""
Erasures of readers, and the nightly job that removes personal data without a use.

Locks: both tables are new. The foreign key takes SHARE ROW EXCLUSIVE on subscribers for a moment, and no row is scanned.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "erasures"
down_revision = "lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("sub", sa.Text(), nullable=True),
        sa.Column("customer_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("report", postgresql.JSONB(), nullable=False),
        *due_columns(),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("erasures_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("erasures_pkey")),
    )
    op.create_index(op.f("erasures_subscriber_id_idx"), "erasures", ["subscriber_id"])
    op.create_index(op.f("erasures_sub_idx"), "erasures", ["sub"])
    op.create_index("erasures_due_at_idx", "erasures", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index(
        "erasures_one_running_idx",
        "erasures",
        ["subscriber_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "retention_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("removed", postgresql.JSONB(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        *due_columns(),
        sa.PrimaryKeyConstraint("id", name=op.f("retention_runs_pkey")),
    )
    op.create_index(
        "retention_runs_due_at_idx", "retention_runs", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )


def due_columns() -> "tuple[sa.Column[object], ...]":
    """Return the columns of a table whose rows may need work."""
    return (
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
    )


def downgrade() -> None:
    """Undo. Erased readers stay erased; a running erasure is not continued."""
    op.drop_table("retention_runs")
    op.drop_table("erasures")
