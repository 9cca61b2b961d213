"""
The payment page of a subscription's open invoice.

Locks: ACCESS EXCLUSIVE on subscriptions for a moment, to add a column without a default. No row is rewritten.
"""

import sqlalchemy as sa
from alembic import op

revision = "pay_url"
down_revision = "sign_outs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriptions", sa.Column("pay_url", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("subscriptions", "pay_url")
