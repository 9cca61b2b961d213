"""
Since when print of a term is on hold, because the payment that added it is disputed or was returned.

Locks: ACCESS EXCLUSIVE on terms for a moment, to add a column without a default. No rows are filled in: a dispute that is
open when this release starts puts print on hold with its next event, or with the nightly reconciliation.
"""

import sqlalchemy as sa
from alembic import op

revision = "print_suspended"
down_revision = "ended_here"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("terms", sa.Column("print_suspended_from", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("terms", "print_suspended_from")
