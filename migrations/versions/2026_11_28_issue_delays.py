"""
The mail dates of issues that moved, so that readers of the print edition are told; and who doesn't want to be told.

The running release doesn't know the tables.

Locks: the tables are new.
"""

import sqlalchemy as sa
from alembic import op

revision = "issue_delays"
down_revision = "webhook_endpoints"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "issue_delays",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("planned_on", sa.Date(), nullable=False),
        sa.Column("expected_on", sa.Date(), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("issue_delays_pkey")),
    )
    op.create_table(
        "notification_opt_outs",
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("subscriber_id", "kind", name=op.f("notification_opt_outs_pkey")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("notification_opt_outs")
    op.drop_table("issue_delays")
