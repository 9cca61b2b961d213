"""
Back issues, and the grace copies that terms received.

The running release doesn't know them: it freezes no back issues and no grace copies.

Locks: the table is new; its foreign keys take SHARE ROW EXCLUSIVE on subscribers, subscriptions and issues for a moment. ACCESS
EXCLUSIVE on terms for a moment, to add a column with a constant default, and on labels, to replace a check; the new one is validated
under SHARE UPDATE EXCLUSIVE, while labels are read and written. Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "grace_copies"
down_revision = "holds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "back_issues",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("issue_number", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("ordered_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("back_issues_subscriber_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("back_issues_subscription_id_fkey")
        ),
        sa.ForeignKeyConstraint(["issue_number"], ["issues.number"], name=op.f("back_issues_issue_number_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("back_issues_pkey")),
        if_not_exists=True,
    )
    for column in ("subscriber_id", "issue_number"):
        name = f"back_issues_{column}_idx"
        op.create_index(name, "back_issues", [column, "created_at", "id"], if_not_exists=True)
    op.create_index("back_issues_created_at_idx", "back_issues", ["created_at", "id"], if_not_exists=True)
    op.execute("ALTER TABLE terms ADD COLUMN IF NOT EXISTS grace_sent bigint NOT NULL DEFAULT 0")
    for name in ("claim_of_replacement", "claim_or_order"):
        op.execute(
            f"-- squawk-ignore ban-drop-constraint\nALTER TABLE labels DROP CONSTRAINT IF EXISTS labels_{name}_check"
        )
    op.execute(
        "ALTER TABLE labels ADD CONSTRAINT labels_claim_or_order_check"
        " CHECK ((kind = 'copy') = (claim_id = '')) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE labels VALIDATE CONSTRAINT labels_claim_or_order_check")


def downgrade() -> None:
    """Undo. The labels of back issues stay."""
    op.execute("ALTER TABLE labels DROP CONSTRAINT labels_claim_or_order_check")
    op.execute(
        "ALTER TABLE labels ADD CONSTRAINT labels_claim_of_replacement_check"
        " CHECK ((kind = 'replacement') = (claim_id <> '')) NOT VALID"
    )
    op.drop_column("terms", "grace_sent")
    op.drop_table("back_issues")
