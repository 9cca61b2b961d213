"""
The outbox: what happened to readers, for everybody outside who acts on it.

The running release doesn't know the table. What it changes while both releases run is not announced.

Locks: the table is new. Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "outbox"
down_revision = "places"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("sub", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_events_pkey")),
        if_not_exists=True,
    )
    op.create_index("outbox_events_sequence_idx", "outbox_events", ["sequence"], unique=True, if_not_exists=True)
    op.create_index(
        "outbox_events_unqueued_idx",
        "outbox_events",
        ["sequence"],
        postgresql_where=sa.text("queued_at IS NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "outbox_events_subscriber_id_idx", "outbox_events", ["subscriber_id", "sequence"], if_not_exists=True
    )
    op.create_index("outbox_events_created_at_idx", "outbox_events", ["created_at"], if_not_exists=True)


def downgrade() -> None:
    """Undo."""
    op.drop_table("outbox_events")
