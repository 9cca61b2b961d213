"""
Refunds of several payments in one request, refunds that wait for approval, and refunds that need attention.

Locks: the new columns are nullable and have no default, so each takes its lock for a moment and rewrites nothing. The
indexes are built, and the old one is dropped, CONCURRENTLY: nothing waits, and each step can be repeated. The dropped index
enforced one guarantee refund for each payment. But what remains after an earlier goodwill refund failed at the bank is due under
the same guarantee, so the rule is now enforced by the subscriber's lock and the refundable amount.
"""

import sqlalchemy as sa
from alembic import op

revision = "refund_desk"
down_revision = "disputes"
branch_labels = None
depends_on = None

INDEXES = {
    "refunds_act_id_idx": (["act_id"], "act_id IS NOT NULL"),
    "refunds_status_idx": (["status", "created_at", "id"], None),
    "refunds_created_at_idx": (["created_at", "id"], None),
    "refunds_attention_idx": (["created_at", "id"], "attention IS NOT NULL"),
}


def upgrade() -> None:
    """Apply."""
    for column in ("act_id", "attention", "decided_by"):
        op.add_column("refunds", sa.Column(column, sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("refunds", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        for name, (columns, where) in INDEXES.items():
            op.drop_index(name, table_name="refunds", postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                "refunds",
                columns,
                postgresql_concurrently=True,
                postgresql_where=sa.text(where) if where else None,
            )
        op.drop_index("refunds_one_guarantee_idx", table_name="refunds", postgresql_concurrently=True, if_exists=True)


def downgrade() -> None:
    """Take back."""
    with op.get_context().autocommit_block():
        op.create_index(
            "refunds_one_guarantee_idx",
            "refunds",
            ["subscriber_id", "payment_id"],
            unique=True,
            postgresql_concurrently=True,
            postgresql_where=sa.text("basis = 'guarantee' AND status NOT IN ('failed', 'canceled')"),
            if_not_exists=True,
        )
        for name in reversed(INDEXES):
            op.drop_index(name, table_name="refunds", postgresql_concurrently=True, if_exists=True)
    for column in ("decided_at", "decided_by", "attention", "act_id"):
        op.drop_column("refunds", column)
