"""
Comps: complimentary access.

Locks: the table is new. Its foreign key takes SHARE ROW EXCLUSIVE on subscribers for a moment, and no row is scanned.
"""

import sqlalchemy as sa
from alembic import op

revision = "comps"
down_revision = "console"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "comps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("issues", sa.BigInteger(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("comps_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("comps_pkey")),
    )
    op.create_index(op.f("comps_subscriber_id_idx"), "comps", ["subscriber_id"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("comps")
