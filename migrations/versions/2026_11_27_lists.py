"""
Indexes for every filter of the lists, in the order of the lists, so that each page costs the same however long they are;
and for the due rows of a key, so that a claim costs the same however many are due.

Locks: the indexes are built and dropped CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a
transaction. An incomplete index is dropped first, so that the step can be repeated. The release before finds its entries
with the new indexes too, since they begin with the same columns. The constraint is dropped under ACCESS EXCLUSIVE on the
seals, for a moment: only the worker that seals waits. It is redundant, because a seal's number is unique, too.
"""

from alembic import op

revision = "lists"
down_revision = "reader_views"
branch_labels = None
depends_on = None

_DUE = "coalesce(due_by, 'infinity'::timestamptz), id"
_NEW = {
    "audit_log_at_id_idx": "audit_log (at, id)",
    "audit_log_actor_action_idx": "audit_log (actor, action, at, id)",
    "audit_log_action_idx": "audit_log (action, at, id)",
    "audit_log_object_id_at_idx": "audit_log (object_id, at, id)",
    "audit_log_subscriber_id_at_idx": "audit_log (subscriber_id, at, id)",
    "events_state_type_idx": "events (state, type, received_at, id)",
    "disputes_due_by_idx": f"disputes ({_DUE})",
    "disputes_open_due_by_idx": f"disputes ({_DUE}) WHERE closed_at IS NULL",
    "reader_views_viewer_at_idx": "reader_views (viewer, at, id)",
    "reader_views_at_idx": "reader_views (at, id)",
    "subscriptions_work_key_idx": "subscriptions (work_key) WHERE due_at IS NOT NULL",
    "refunds_work_key_idx": "refunds (work_key) WHERE due_at IS NOT NULL",
    "contact_changes_work_key_idx": "contact_changes (work_key) WHERE due_at IS NOT NULL",
}
_OLD = {
    "audit_log_at_idx": "audit_log (at)",
    "audit_log_actor_idx": "audit_log (actor)",
    "audit_log_object_id_idx": "audit_log (object_id)",
    "audit_log_subscriber_id_idx": "audit_log (subscriber_id)",
    "reader_views_viewer_idx": "reader_views (viewer, id)",
    "events_dead_idx": "events (state) WHERE state = 'dead'",
    "disputes_open_idx": "disputes (due_by, id) WHERE closed_at IS NULL",
}


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        _create(_NEW)
        _drop(_OLD)
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        "ALTER TABLE audit_seals DROP CONSTRAINT IF EXISTS audit_seals_previous_key"
    )


def downgrade() -> None:
    """Undo. The redundant constraint is not created again: it would block the worker that seals."""
    with op.get_context().autocommit_block():
        _create(_OLD)
        _drop(_NEW)


def _create(indexes: dict[str, str]) -> None:
    for name, columns in indexes.items():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")


def _drop(indexes: dict[str, str]) -> None:
    for name in indexes:
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
