"""
The names of staff who have signed in to the console, so that pages show who did something by name.

Staff with a session get theirs at once; others when they sign in. The running release doesn't know the table.

Locks: the table is new. The rows are copied from staff_sessions, which has a few rows, with ACCESS SHARE.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "staff_members"
down_revision = "storage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "staff_members",
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", ARRAY(sa.Text()), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sub", name=op.f("staff_members_pkey")),
    )
    op.create_index(op.f("staff_members_seen_at_idx"), "staff_members", ["seen_at"])
    op.execute(
        "INSERT INTO staff_members (sub, name, roles, seen_at)"
        " SELECT DISTINCT ON (sub) sub, name, roles, checked_at FROM staff_sessions ORDER BY sub, checked_at DESC"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("staff_members")
