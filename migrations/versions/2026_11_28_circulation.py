"""
What is entered by hand for the circulation statement: the press run of an issue, and copies outside the mails.

The running release doesn't know the table.

Locks: the table is new; SHARE ROW EXCLUSIVE on issues for a moment, for the foreign key.
"""

import sqlalchemy as sa
from alembic import op

revision = "circulation"
down_revision = "liability"
branch_labels = None
depends_on = None

_COUNTS = ("press_run", "dealer_sales", "single_copies_mailed", "free_outside_mail")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "issue_circulation",
        sa.Column("issue_number", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["issue_number"], ["issues.number"], name=op.f("issue_circulation_issue_number_fkey")),
        sa.PrimaryKeyConstraint("issue_number", name=op.f("issue_circulation_pkey")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("issue_circulation")
