"""
When Stripe created a refund. This determines whether a refund in the Dashboard completed the full amount.

Locks: ACCESS EXCLUSIVE on refunds for a moment, to add a column without a default. No row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "made_at"
down_revision = "came_from"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("refunds", sa.Column("made_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("refunds", "made_at")
