"""
When print ends because of a change, beside what Stripe's metadata says.

The running release doesn't fill it in; then the start of a removal counts.

Lock: ACCESS EXCLUSIVE on print_changes for a moment, to add a column with a constant default. The statement can be repeated.
"""

from alembic import op

revision = "print_endings"
down_revision = "issue_delays"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE print_changes ADD COLUMN IF NOT EXISTS dropped_at timestamptz[] NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """Revert."""
    op.drop_column("print_changes", "dropped_at")
