"""
Claims of copies.

The running release doesn't know the table. It freezes no replacements, so it must not freeze supplements once claims are made; an
upgrade stops it before.

Locks: the table is new. Its foreign keys take SHARE ROW EXCLUSIVE on subscribers, subscriptions, terms and issues for a moment: an
empty table has nothing to check. Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "claims"
down_revision = "work_queue"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "claims",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("issue_number", sa.BigInteger(), nullable=False),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("address_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("resolution", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("resolution IN ('resend', 'extend')", name=op.f("claims_resolution_known_check")),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("claims_subscriber_id_fkey")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("claims_subscription_id_fkey")),
        sa.ForeignKeyConstraint(["term"], ["terms.invoice_id"], name=op.f("claims_term_fkey")),
        sa.ForeignKeyConstraint(["issue_number"], ["issues.number"], name=op.f("claims_issue_number_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("claims_pkey")),
        if_not_exists=True,
    )
    for column in ("subscriber_id", "issue_number"):
        name = f"claims_{column}_idx"
        op.create_index(name, "claims", [column, "created_at", "id"], if_not_exists=True)
    op.create_index("claims_once_idx", "claims", ["subscription_id", "issue_number"], unique=True, if_not_exists=True)
    op.create_index(
        "claims_replacements_idx",
        "claims",
        ["issue_number"],
        postgresql_where=sa.text("resolution = 'resend' AND granted_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index("claims_created_at_idx", "claims", ["created_at", "id"], if_not_exists=True)
    op.create_index("claims_claimed_by_idx", "claims", ["claimed_by", "created_at"], if_not_exists=True)


def downgrade() -> None:
    """Undo."""
    op.drop_table("claims")
