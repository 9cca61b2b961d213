"""
Holds of readers.

The running release doesn't know the table, and would send copies that are held. An upgrade stops it before any hold is made.

Locks: the table is new. Its foreign key takes SHARE ROW EXCLUSIVE on subscribers for a moment: an empty table has nothing to check.
Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "holds"
down_revision = "claims"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "holds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("issues", sa.BigInteger(), nullable=True),
        sa.Column("keeps_digital", sa.Boolean(), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("over_by", sa.Date(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(until IS NULL) <> (issues IS NULL)", name=op.f("holds_end_known_check")),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("holds_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("holds_pkey")),
        if_not_exists=True,
    )
    op.create_index(op.f("holds_subscriber_id_idx"), "holds", ["subscriber_id"], if_not_exists=True)
    op.create_index(
        "holds_once_idx",
        "holds",
        ["subscriber_id", "starts_on"],
        unique=True,
        postgresql_where=sa.text("ended_on IS NULL"),
        if_not_exists=True,
    )
    op.create_index("holds_over_by_idx", "holds", ["over_by"], if_not_exists=True)


def downgrade() -> None:
    """Undo."""
    op.drop_table("holds")
