"""
What readers are told by mail, and what it says: when the card expires, what a term cost, whether the next is discounted.

The running release doesn't know the tables and the columns.

Locks: the tables are new. The columns take ACCESS EXCLUSIVE for an instant: they are nullable, or have a constant default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "notifications"
down_revision = "outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriptions", sa.Column("card_expires_on", sa.Date(), nullable=True))
    op.add_column(
        "subscriptions", sa.Column("keeps_discount", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("subscribers", sa.Column("locale", sa.Text(), nullable=True))
    op.add_column("terms", sa.Column("price", sa.BigInteger(), nullable=True))
    op.add_column("terms", sa.Column("discount", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "notifications",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=True)
            for name in ("subscriber_id", "subscription_id", "recipient", "locale")
        ),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("subject", "text", "html")),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in ("rendered_at", "settled_at")),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounce", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("notifications_pkey")),
    )
    op.create_table(
        "notification_policies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("notification_policies_pkey")),
    )
    for name, columns, unique, where in (
        ("kind_about", ["kind", "about"], True, None),
        ("subscriber_id", ["subscriber_id", "send_at", "id"], False, None),
        ("subscription_id", ["subscription_id"], False, None),
        ("due_at", ["due_at"], False, "due_at IS NOT NULL"),
        ("work_key", ["work_key"], False, "due_at IS NOT NULL"),
        ("scheduled", ["send_at", "id"], False, "status = 'scheduled'"),
        (
            "attention",
            ["settled_at", "id"],
            False,
            "(status IN ('refused', 'failed', 'uncertain') OR bounced_at IS NOT NULL)",
        ),
    ):
        op.create_index(
            f"notifications_{name}_idx",
            "notifications",
            columns,
            unique=unique,
            postgresql_where=sa.text(where) if where else None,
        )


def downgrade() -> None:
    """Undo."""
    op.drop_table("notification_policies")
    op.drop_table("notifications")
    op.drop_column("subscribers", "locale")
    op.drop_column("terms", "discount")
    op.drop_column("terms", "price")
    op.drop_column("subscriptions", "keeps_discount")
    op.drop_column("subscriptions", "card_expires_on")
