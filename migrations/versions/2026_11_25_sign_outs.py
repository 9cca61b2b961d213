"""
When a staff member signed out of the console. This ends all of their sessions that began before.

Locks: the table is new, and has no foreign key.
"""

import sqlalchemy as sa
from alembic import op

revision = "sign_outs"
down_revision = "audit_chain"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sign_outs",
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sub", name=op.f("sign_outs_pkey")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("sign_outs")
