"""
The closed months of the liability report, what each subscription contributed to them, and when a payment was credited.

The running release doesn't know the tables and the columns. What it credits has no dates until the next change at Stripe.

Locks: the tables are new. ``payments`` is locked for a moment (ACCESS EXCLUSIVE): a constant default rewrites no row.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "liability"
down_revision = "print_changes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    times, amounts = ARRAY(sa.DateTime(timezone=True)), ARRAY(sa.BigInteger())
    op.add_column("payments", sa.Column("credited_at", times, server_default="{}", nullable=False))
    op.add_column("payments", sa.Column("credited_parts", amounts, server_default="{}", nullable=False))
    op.create_table(
        "liability_closings",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("totals", JSONB(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("liability_closings_pkey")),
    )
    op.create_table(
        "liability_entries",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("sold", "earned", "reversed", "refunded")),
        sa.PrimaryKeyConstraint("subscription_id", "month", "currency", name=op.f("liability_entries_pkey")),
    )
    op.create_index("liability_entries_month_idx", "liability_entries", ["month", "subscription_id", "currency"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("liability_entries")
    op.drop_table("liability_closings")
    op.drop_column("payments", "credited_parts")
    op.drop_column("payments", "credited_at")
