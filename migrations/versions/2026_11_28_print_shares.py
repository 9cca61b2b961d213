"""
The share of each payment that print earns, as it was when the payment was saved.

The running release doesn't fill the columns in. The report takes today's share of the plan for its payments, until the next
change at Stripe.

Lock: ACCESS EXCLUSIVE on payments for a moment, to add empty columns. Every statement can be repeated.
"""

from alembic import op

revision = "print_shares"
down_revision = "grace_sent"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE payments ADD COLUMN IF NOT EXISTS print_part bigint")
    op.execute("ALTER TABLE payments ADD COLUMN IF NOT EXISTS print_whole bigint")


def downgrade() -> None:
    """Undo."""
    op.drop_column("payments", "print_whole")
    op.drop_column("payments", "print_part")
