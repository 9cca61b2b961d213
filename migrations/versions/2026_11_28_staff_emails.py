"""
The email addresses of staff, so that the audit log can be filtered by them.

The identity provider gives them at the next sign-in or check of roles. The running release neither reads nor writes the column.

Locks: ACCESS EXCLUSIVE on staff_members, which has a row for each person with a role, for a moment.
"""

import sqlalchemy as sa
from alembic import op

revision = "staff_emails"
down_revision = "joined_names_guard"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("staff_members", sa.Column("email", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("staff_members", "email")
