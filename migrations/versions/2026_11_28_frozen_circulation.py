"""
How each copy counts in the circulation statement, frozen with its label; and the paid electronic copies of an issue.

The running release leaves the columns NULL. Such runs are counted with what is known later, as before.

Locks: labels and label_runs are locked (ACCESS EXCLUSIVE) for a moment, to add columns without a default. The table is new.
"""

import sqlalchemy as sa
from alembic import op

revision = "frozen_circulation"
down_revision = "address_requests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("labels", sa.Column("mail_class", sa.Text(), nullable=True))
    op.add_column("labels", sa.Column("is_paid", sa.Boolean(), nullable=True))
    op.add_column("labels", sa.Column("amount_paid", sa.BigInteger(), nullable=True))
    op.add_column("label_runs", sa.Column("electronic", sa.BigInteger(), nullable=True))
    op.create_table(
        "electronic_copies",
        sa.Column("issue_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issue_number", "subscription_id", name=op.f("electronic_copies_pkey")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("electronic_copies")
    op.drop_column("label_runs", "electronic")
    for column in ("amount_paid", "is_paid", "mail_class"):
        op.drop_column("labels", column)
