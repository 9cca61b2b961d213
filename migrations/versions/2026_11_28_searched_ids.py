"""
Indexes for the search by the ID of a credit note, and by that of a renewal's unpaid invoice.

Locks: the indexes are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An
incomplete index is dropped first, so that the step can be repeated.
"""

from alembic import op

revision = "searched_ids"
down_revision = "joined_names"
branch_labels = None
depends_on = None

_NEW = {
    "refunds_credit_note_id_idx": "refunds (credit_note_id) WHERE credit_note_id IS NOT NULL",
    "subscriptions_renewal_invoice_idx": "subscriptions ((renewal ->> 'invoice_id'))"
    " WHERE renewal ->> 'invoice_id' IS NOT NULL",
}


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for name, columns in _NEW.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for name in _NEW:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
