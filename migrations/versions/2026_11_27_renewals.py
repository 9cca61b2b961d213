"""
What Stripe says about a renewal that is not paid, and about a pause; and when a subscription is checked again.

Locks: ACCESS EXCLUSIVE on subscriptions for the moment of adding columns without a default, which rewrites nothing. The
times are filled 1,000 rows at a time, each batch in its own transaction, with row locks only; the index is built
CONCURRENTLY. Both can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "renewals"
down_revision = "inbox_backlog"
branch_labels = None
depends_on = None

# Three days, the default allowance, after the newest paid term. Checking too early or too late does no harm.
_FILL = """
UPDATE subscriptions SET check_at = coalesce(
    (SELECT max(t.ends_at) FROM terms t WHERE t.subscription_id = subscriptions.id), created_at) + interval '3 days'
WHERE id IN (
    SELECT id FROM subscriptions
    WHERE check_at IS NULL AND ended_here_at IS NULL AND status IN ('active', 'trialing', 'past_due', 'paused')
    LIMIT 1000)
"""


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS pause jsonb")
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS renewal jsonb")
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS check_at timestamptz")
    with op.get_context().autocommit_block():
        if not op.get_context().as_sql:
            while op.get_bind().execute(sa.text(_FILL)).rowcount:
                pass
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscriptions_check_at_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY subscriptions_check_at_idx ON subscriptions (check_at) WHERE check_at IS NOT NULL"
        )


def downgrade() -> None:
    """Undo."""
    op.drop_column("subscriptions", "check_at")
    op.drop_column("subscriptions", "renewal")
    op.drop_column("subscriptions", "pause")
