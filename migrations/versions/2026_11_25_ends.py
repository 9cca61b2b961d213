"""
When all was done at Stripe that the end of a subscription asks for.

Locks: ACCESS EXCLUSIVE on subscriptions for the moment of adding a column without a default, which rewrites nothing. The
release that is running does not know the column; to the next, a subscription that ended before is one to be looked through
when it is next told of.
"""

import sqlalchemy as sa
from alembic import op

revision = "ends"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriptions", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("subscriptions", "closed_at")
