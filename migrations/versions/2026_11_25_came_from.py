"""
The state a subscription was in before, where nothing leads from there to the one it is in.

Locks: ACCESS EXCLUSIVE on subscriptions for the moment of adding a column without a default, which rewrites nothing.
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
