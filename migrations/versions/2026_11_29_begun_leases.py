"""
Leases: for which table their rows were counted, until the job of the key begins.

The release before doesn't know the column: it leaves it empty in the leases that it makes, and each of its claims counts.

Locks: ACCESS EXCLUSIVE on ``leases`` for a moment. The column has no default, so no row is written.
"""

import sqlalchemy as sa
from alembic import op

revision = "begun_leases"
down_revision = "binary_seals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("leases", sa.Column("counted", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("leases", "counted")
