"""
Declarations that a worker looks at: cancellations without a sign-in, and contracts that end early.

The guard of the table lets the new columns change. The running release stores no declaration that is due.

Locks: ACCESS EXCLUSIVE on declarations for a moment. The new columns have constants as defaults, so nothing is rewritten. The
indexes are built CONCURRENTLY, outside a transaction; an incomplete one is dropped first. Every statement can be repeated.
"""

from alembic import op

revision = "declared_cancellations"
down_revision = "print_again"
branch_labels = None
depends_on = None

_OUTCOME = "status ends_at refund_id settled_by settled_at work_key due_at attempts last_error"
_INDEXES = {
    "declarations_due_at_idx": "declarations (due_at) WHERE due_at IS NOT NULL",
    "declarations_work_key_idx": "declarations (work_key) WHERE due_at IS NOT NULL",
    "declarations_subscription_id_idx": "declarations (subscription_id, received_at)",
}


def _guard(outcome: str) -> str:
    kept = "\n    ".join(f"allowed.{column} := OLD.{column};" for column in outcome.split())
    return f"""
CREATE OR REPLACE FUNCTION declarations_keep_what_was_received() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed declarations := NEW;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.received_at > now() - interval '3 years' THEN
            RAISE EXCEPTION 'declarations are kept for three years';
        END IF;
        RETURN OLD;
    END IF;
    {kept}
    IF NEW.words = '{{}}' AND NEW.acknowledgment = '' THEN
        allowed.words := OLD.words;
        allowed.acknowledgment := OLD.acknowledgment;
    END IF;
    IF OLD.subscriber_id IS NULL THEN
        allowed.subscriber_id := NULL;
    END IF;
    IF OLD.subscription_id IS NULL THEN
        allowed.subscription_id := NULL;
    END IF;
    IF allowed IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'what a declaration says never changes';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE declarations ADD COLUMN IF NOT EXISTS work_key text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE declarations ADD COLUMN IF NOT EXISTS due_at timestamptz")
    op.execute("ALTER TABLE declarations ADD COLUMN IF NOT EXISTS attempts bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE declarations ADD COLUMN IF NOT EXISTS last_error text")
    op.execute(_guard(_OUTCOME))
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for name in reversed(_INDEXES):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute(_guard(" ".join(_OUTCOME.split()[:5])))
    for column in ("last_error", "attempts", "due_at", "work_key"):
        op.execute(f"ALTER TABLE declarations DROP COLUMN IF EXISTS {column}")
