"""
An index of the terms after which grace copies were sent, for the liability report.

The running release doesn't use it.

Lock: the index is built CONCURRENTLY, which blocks neither reads nor writes. The statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "grace_sent"
down_revision = "print_addresses"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.create_index(
            "terms_grace_sent_idx",
            "terms",
            ["subscription_id"],
            postgresql_where=sa.text("grace_sent > 0"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        op.drop_index("terms_grace_sent_idx", postgresql_concurrently=True, if_exists=True)
