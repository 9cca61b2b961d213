"""
Where the card and the tax of a subscription are from, which decides which laws protect its reader.

The running release leaves the columns empty; the next sync of a subscription fills them.

Locks: adding columns without a default takes ACCESS EXCLUSIVE on subscriptions for a moment, and rewrites nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "places"
down_revision = "circulation"
branch_labels = None
depends_on = None

_COLUMNS = ("card_country", "tax_country", "tax_region")


def upgrade() -> None:
    """Apply."""
    for name in _COLUMNS:
        op.add_column("subscriptions", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    for name in reversed(_COLUMNS):
        op.drop_column("subscriptions", name)
