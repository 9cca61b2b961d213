"""
When the cancellation of an ended subscription was completed at Stripe.

Locks: ACCESS EXCLUSIVE on subscriptions for a moment, to add a column without a default. No row is rewritten. The running
release does not use the column. The next one completes the cancellation of a subscription that ended before when it syncs it.
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
