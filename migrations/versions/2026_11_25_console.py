"""
The console: the figures of its front page, and two more ways to find a reader: by last name and by invoice number.

Locks: ``figures`` is new. The new column of ``payments`` is NULL in existing rows, so adding it takes ACCESS EXCLUSIVE for a
moment and rewrites nothing. The indexes are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue). An
incomplete index is dropped first, so that the step can be repeated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "console"
down_revision = "refund_desk"
branch_labels = None
depends_on = None

LAST_NAME = r"lower(regexp_replace(name, '^.*\s', ''))"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "figures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("took", sa.Float(), server_default="0", nullable=False),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("figures_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "figures_due_at_idx", "figures", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"), if_not_exists=True
    )
    op.execute("INSERT INTO figures (id, work_key) VALUES ('front', 'figures:front') ON CONFLICT DO NOTHING")
    op.execute("ALTER TABLE payments ADD COLUMN IF NOT EXISTS invoice_number text")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS payments_invoice_number_idx")
        op.execute("CREATE INDEX CONCURRENTLY payments_invoice_number_idx ON payments (invoice_number)")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscribers_last_name_idx")
        op.execute(
            f"CREATE INDEX CONCURRENTLY subscribers_last_name_idx ON subscribers (({LAST_NAME}) text_pattern_ops)"
        )


def downgrade() -> None:
    """Undo."""
    op.drop_index("subscribers_last_name_idx", table_name="subscribers")
    op.drop_index("payments_invoice_number_idx", table_name="payments")
    op.drop_column("payments", "invoice_number")
    op.drop_table("figures")
