"""
The closed months of the liability report, and what each subscription contributed to them.

The running release doesn't know the tables.

Locks: the tables are new.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "liability"
down_revision = "print_changes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
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
