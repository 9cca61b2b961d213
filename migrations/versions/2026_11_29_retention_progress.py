"""
How far the nightly removal of personal data is in each table.

Locks: ACCESS EXCLUSIVE on retention_runs for a moment, to add a column without a default. The table has one row. The running
release doesn't know the column.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "retention_progress"
down_revision = "begun_leases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("retention_runs", sa.Column("progress", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("retention_runs", "progress")
