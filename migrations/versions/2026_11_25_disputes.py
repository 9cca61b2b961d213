"""
Disputes, fraud warnings and dismissed attention items. A term says why it is suspended or restored.

Locks: three tables are new, so nothing waits. Their foreign keys take SHARE ROW EXCLUSIVE on subscribers and payments for a
moment, and scan nothing, because the tables are empty. Two columns of ``terms`` are added without a default: ACCESS EXCLUSIVE
for a moment, without a rewrite. The index on ``refunds`` is built CONCURRENTLY, in an autocommit block, and can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "disputes"
down_revision = "asking"
branch_labels = None
depends_on = None

LEFT = sa.text("actionable AND acted_as IN ('kept', 'not_refundable')")
FAILED = sa.text("status IN ('failed', 'canceled')")


def upgrade() -> None:
    """Apply."""
    op.add_column("terms", sa.Column("suspended_as", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("terms", sa.Column("restored_as", sa.Text(), nullable=True), if_not_exists=True)
    op.create_table(
        "disputes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("charge_id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("due_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_charge_refundable", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("concern", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("disputes_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("disputes_pkey")),
        if_not_exists=True,
    )
    op.create_index(op.f("disputes_payment_id_idx"), "disputes", ["payment_id"], if_not_exists=True)
    op.create_index(op.f("disputes_subscriber_id_idx"), "disputes", ["subscriber_id"], if_not_exists=True)
    op.create_index(
        "disputes_open_idx",
        "disputes",
        ["due_by", "id"],
        postgresql_where=sa.text("closed_at IS NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "disputes_concern_idx", "disputes", ["id"], postgresql_where=sa.text("concern IS NOT NULL"), if_not_exists=True
    )
    op.create_table(
        "fraud_warnings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("actionable", sa.Boolean(), nullable=False),
        sa.Column("fraud_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acted_as", sa.Text(), nullable=True),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fraud_warnings_payment_id_fkey")),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("fraud_warnings_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("fraud_warnings_pkey")),
        if_not_exists=True,
    )
    op.create_index(op.f("fraud_warnings_payment_id_idx"), "fraud_warnings", ["payment_id"], if_not_exists=True)
    op.create_index(op.f("fraud_warnings_subscriber_id_idx"), "fraud_warnings", ["subscriber_id"], if_not_exists=True)
    op.create_index("fraud_warnings_left_idx", "fraud_warnings", ["id"], postgresql_where=LEFT, if_not_exists=True)
    op.create_table(
        "dismissals",
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dismissed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", name=op.f("dismissals_pkey")),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS refunds_failed_idx")  # an incomplete index of an earlier run
        op.create_index("refunds_failed_idx", "refunds", ["id"], postgresql_concurrently=True, postgresql_where=FAILED)


def downgrade() -> None:
    """Undo."""
    op.drop_index("refunds_failed_idx", table_name="refunds", postgresql_where=FAILED)
    op.drop_table("dismissals")
    op.drop_table("fraud_warnings")
    op.drop_table("disputes")
    op.drop_column("terms", "restored_as")
    op.drop_column("terms", "suspended_as")
