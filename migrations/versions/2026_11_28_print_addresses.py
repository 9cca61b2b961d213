"""
The address that comes with the request to add print, until it is paid.

The running release saves the address at once, and doesn't fill the column in.

Lock: ACCESS EXCLUSIVE on print_changes for a moment, to add an empty column. The statement can be repeated.
"""

from alembic import op

revision = "print_addresses"
down_revision = "frozen_circulation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE print_changes ADD COLUMN IF NOT EXISTS address jsonb")


def downgrade() -> None:
    """Revert."""
    op.drop_column("print_changes", "address")
