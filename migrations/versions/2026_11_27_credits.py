"""
Credits: what was returned of payments otherwise than by refunds.

Locks: ACCESS EXCLUSIVE on payments for the moment of adding a column with a constant default, which rewrites nothing. The
table is new. Its foreign key takes SHARE ROW EXCLUSIVE on subscriptions for a moment, and no row is scanned.
"""

import sqlalchemy as sa
from alembic import op

revision = "credits"
down_revision = "approvals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("payments", sa.Column("credited", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "credits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("credits_subscription_id_fkey")),
        sa.PrimaryKeyConstraint("id", "kind", name=op.f("credits_pkey")),
    )
    op.create_index(op.f("credits_subscription_id_idx"), "credits", ["subscription_id"])


def downgrade() -> None:
    """Revert."""
    op.drop_table("credits")
    op.drop_column("payments", "credited")
