"""
Storage settings of newer tables whose rows are rewritten or deleted often: messages, events for webhooks, and print.

By default, a table is vacuumed when a fifth of it has changed: of a million readers' messages, after months.

Locks: SHARE UPDATE EXCLUSIVE for a moment. Nothing is rewritten: a fill factor applies to new pages.
"""

from alembic import op

revision = "more_storage"
down_revision = "special_issues"
branch_labels = None
depends_on = None

# Room for the next version of a row on its page, so that an update reads and writes one page.
_FILL_FACTORS = {"webhook_lanes": 70, "price_changes": 85}
_BUSY = (
    "notifications", "outbox_events", "webhook_deliveries", "price_changes", "labels", "electronic_copies",
    "reader_name_parts", "reader_views", "payments", "subscribers",
)  # fmt: skip
_QUEUES = ("webhook_lanes",)
_BUSY_SETTINGS = {
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.02",
}
_QUEUE_SETTINGS = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"}


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for table, percent in _FILL_FACTORS.items():
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")
        for tables, settings in ((_BUSY, _BUSY_SETTINGS), (_QUEUES, _QUEUE_SETTINGS)):
            for table in tables:
                values = ", ".join(f"{name} = {value}" for name, value in settings.items())
                op.execute(f"ALTER TABLE {table} SET ({values})")


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for table in _FILL_FACTORS:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
        for tables, settings in ((_BUSY, _BUSY_SETTINGS), (_QUEUES, _QUEUE_SETTINGS)):
            for table in tables:
                op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
