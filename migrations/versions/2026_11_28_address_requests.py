"""
How far it is announced who has no address for the copies of a label run.

The running release announces all of a run at once, and doesn't read it.

Lock: ACCESS EXCLUSIVE on label_runs for a moment, to add a column with a constant default. The statement can be repeated.
"""

from alembic import op

revision = "address_requests"
down_revision = "print_endings"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE label_runs ADD COLUMN IF NOT EXISTS addresses_through text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Revert."""
    op.drop_column("label_runs", "addresses_through")
