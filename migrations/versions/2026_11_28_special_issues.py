"""
Order one more derivation of the terms around special issues: an earlier release didn't send those between two terms.

It is stored as a finished change, which this release repeats at once and again a day later. By then, no worker of the running
release takes part anymore. That release does nothing with it. Without a special issue that is not frozen, there is none.

Lock: none but that of the new row. The calendar has a few dozen issues for each year.
"""

from alembic import op

revision = "special_issues"
down_revision = "print_shares"
branch_labels = None
depends_on = None


ORDER = """
INSERT INTO derivation_runs (id, kind, change, editions, work_key, finished_at)
SELECT 'run_special_issues', 'calendar', jsonb_build_object(
        'ends', '[]'::jsonb,
        'since', coalesce((SELECT max(number) FROM issues WHERE counts_as > 0 AND number < open.first), open.first),
        'beyond', true,
        'begun', '[]'::jsonb),
    '{}', 'run_special_issues', now()
FROM (SELECT min(number) AS first FROM issues WHERE counts_as = 0 AND frozen_at IS NULL) AS open
WHERE open.first IS NOT NULL
ON CONFLICT (id) DO NOTHING
"""


def upgrade() -> None:
    """Apply."""
    op.execute(ORDER)


def downgrade() -> None:
    """Revert."""
    op.execute("DELETE FROM derivation_runs WHERE id = 'run_special_issues'")
