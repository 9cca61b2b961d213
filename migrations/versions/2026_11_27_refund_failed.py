"""
Whether the refund that ended a term failed later.

Locks: ACCESS EXCLUSIVE on terms for a moment, to add a column with a constant default, which rewrites nothing. No rows are
filled in: a term whose refund failed before this release is shown as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "refund_failed"
down_revision = "made_at"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("terms", sa.Column("refund_failed", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    """Undo."""
    op.drop_column("terms", "refund_failed")
