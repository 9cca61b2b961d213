"""
Since when a subscription is followed, what is history, when a term was refunded, and what is unusual about a customer.

Locks: ACCESS EXCLUSIVE on subscriptions, terms, payments, refunds and differences for a moment each, to add columns that
are nullable or have a constant default. No row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "followed_since"
down_revision = "credits"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriptions", sa.Column("followed_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("terms", sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payments", sa.Column("is_history", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("refunds", sa.Column("is_history", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("differences", sa.Column("code", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("differences", "code")
    op.drop_column("refunds", "is_history")
    op.drop_column("payments", "is_history")
    op.drop_column("terms", "refunded_at")
    op.drop_column("subscriptions", "followed_since")
