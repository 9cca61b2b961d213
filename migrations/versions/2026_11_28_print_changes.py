"""
Changes of the print edition within a term, and what each payment paid for print.

The running release doesn't know the table or the column. The column is filled when a subscription is next fetched.

Locks: the table is new; ACCESS EXCLUSIVE on payments for a moment, to add a column with a constant default, which rewrites
nothing.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "print_changes"
down_revision = "grace_copies"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "print_changes",
        _text("id"),
        _text("subscription_id"),
        _text("subscriber_id"),
        _text("kind"),
        _text("status"),
        _number("issues"),
        _number("first_issue", nullable=True),
        _number("price"),
        _number("total"),
        _number("tax"),
        _number("due"),
        _text("currency"),
        _text("price_id", nullable=True),
        _time("starts_at"),
        _time("ends_at"),
        _text("requested_by"),
        _time("created_at"),
        _text("invoice_id", nullable=True),
        _text("pay_url", nullable=True),
        _text("failure_reason", nullable=True),
        sa.Column("to_balance", JSONB(), nullable=False),
        _text("work_key"),
        _time("due_at", nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        _text("last_error", nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("print_changes_subscription_id_fkey")
        ),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("print_changes_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("print_changes_pkey")),
    )
    op.create_index(op.f("print_changes_subscription_id_idx"), "print_changes", ["subscription_id"])
    op.create_index(op.f("print_changes_subscriber_id_idx"), "print_changes", ["subscriber_id"])
    op.create_index(
        "print_changes_one_undecided_idx",
        "print_changes",
        ["subscription_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('processing', 'awaiting_payment')"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("print_changes_due_at_idx", "print_changes", ["due_at"], postgresql_where=due)
    op.create_index("print_changes_work_key_idx", "print_changes", ["work_key"], postgresql_where=due)
    op.add_column("payments", sa.Column("print_amount", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    """Revert."""
    op.drop_column("payments", "print_amount")
    op.drop_table("print_changes")
