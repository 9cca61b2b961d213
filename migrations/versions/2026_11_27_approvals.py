"""
Requests for complimentary access and extensions that wait for a second person, and what one person gave in a day.

Locks: the table is new; its foreign keys take SHARE ROW EXCLUSIVE on subscribers and subscriptions for a moment, and no row is
scanned. The indexes are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE): readers and writers continue.
"""

import sqlalchemy as sa
from alembic import op

revision = "approvals"
down_revision = "lines"
branch_labels = None
depends_on = None

INDEXES = {
    "refunds_requested_by_idx": ("refunds", ["requested_by", "created_at"]),
    "comps_given_by_idx": ("comps", ["given_by", "starts_at"]),
    "issue_adjustments_by_idx": ("issue_adjustments", ["by", "created_at"]),
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "approval_requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("issues", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("approval_requests_subscriber_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("approval_requests_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("approval_requests_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("approval_requests_subscriber_id_idx"), "approval_requests", ["subscriber_id"], if_not_exists=True
    )
    op.create_index(
        "approval_requests_status_idx", "approval_requests", ["status", "created_at", "id"], if_not_exists=True
    )
    with op.get_context().autocommit_block():
        for name, (table, columns) in INDEXES.items():
            op.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))  # of an interrupted run
            op.create_index(name, table, columns, postgresql_concurrently=True)


def downgrade() -> None:
    """Take back."""
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    op.drop_table("approval_requests")
