"""
Indexes for the list of readers with a subscription that ended here and not yet at Stripe, and for the search by a charge.

Locks: the indexes are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An
incomplete index is dropped first, so that the step can be repeated. The first has only the few rows whose cancellation at
Stripe is on its way.
"""

from alembic import op

revision = "ended_here"
down_revision = "staff_emails"
branch_labels = None
depends_on = None

_NEW = {
    "subscriptions_ended_here_idx": "subscriptions (print_edition, created_at, id)"
    " WHERE ended_here_at IS NOT NULL AND status NOT IN ('canceled', 'incomplete_expired')",
    "disputes_charge_id_idx": "disputes (charge_id)",
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
