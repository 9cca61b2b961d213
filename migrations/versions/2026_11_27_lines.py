"""
Print that starts or ends within a term, terms whose rest was credited, and payments that are not payment intents.

Locks: ACCESS EXCLUSIVE on terms and on payments, each for the moment of adding columns without a default, or with a constant
one, which rewrites nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "lines"
down_revision = "renewals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for name in ("print_from", "print_until", "credited_at"):
        op.add_column("terms", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("payments", sa.Column("kind", sa.Text(), nullable=False, server_default="payment_intent"))
    for name in ("print_from", "print_until"):
        op.add_column("payments", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Undo."""
    for name in ("print_until", "print_from", "kind"):
        op.drop_column("payments", name)
    for name in ("credited_at", "print_until", "print_from"):
        op.drop_column("terms", name)
