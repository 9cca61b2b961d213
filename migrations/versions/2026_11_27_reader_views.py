"""
Which member of staff saw which reader.

Locks: the table is new, so nothing waits.
"""

import sqlalchemy as sa
from alembic import op

revision = "reader_views"
down_revision = "audit_erasure"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "reader_views",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("viewer", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("reader_views_pkey")),
    )
    op.create_index("reader_views_once_idx", "reader_views", ["subscriber_id", "slot", "viewer", "place"], unique=True)
    op.create_index("reader_views_viewer_idx", "reader_views", ["viewer", "id"])


def downgrade() -> None:
    """Undo. The record of views is lost."""
    op.drop_table("reader_views")
