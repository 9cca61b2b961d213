"""
The hash of the request that a refund was made for, to recognize a repeated request after a backup was restored.

Locks: ACCESS EXCLUSIVE on refunds for the moment of adding a column without a default, which rewrites nothing.
"""

from alembic import op

revision = "refund_requests"
down_revision = "followed_since"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE refunds ADD COLUMN IF NOT EXISTS request_hash text")


def downgrade() -> None:
    """Undo."""
    op.drop_column("refunds", "request_hash")
