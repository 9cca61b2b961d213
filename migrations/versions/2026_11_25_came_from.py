"""
The previous status of a subscription, if the transition from it is impossible.

Locks: ACCESS EXCLUSIVE on subscriptions for a moment, to add a column without a default. No row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "came_from"
down_revision = "pay_url"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriptions", sa.Column("came_from", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("subscriptions", "came_from")
