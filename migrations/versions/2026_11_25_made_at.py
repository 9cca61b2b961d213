"""
When Stripe made a refund: whether one by hand left nothing of its payment is told by that.

Locks: ACCESS EXCLUSIVE on refunds for the moment of adding a column without a default, which rewrites nothing.
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
