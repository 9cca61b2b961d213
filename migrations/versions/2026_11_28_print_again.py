"""
Print that is added again within a term, what the customer's balance paid for a term, and indexes of the circulation desk.

The running release keeps one period of print of a term, and knows no limit of back issues. The next synchronization of a
subscription fills in what is new.

Locks: ACCESS EXCLUSIVE on terms for a moment, to add columns with a constant default. The terms with print whose reader has no
address are marked 5,000 at a time, each batch in its own transaction, with row locks only: after an upgrade from a release
without addresses, these are all of them. The indexes are built CONCURRENTLY, which blocks neither reads nor writes. Every
statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "print_again"
down_revision = "price_migrations"
branch_labels = None
depends_on = None

_NEXT = """
SELECT max(invoice_id) FROM (SELECT invoice_id FROM terms WHERE invoice_id > :after ORDER BY invoice_id LIMIT 5000) batch
"""
_MARK_ALL = """
UPDATE terms SET lacks_address = true
WHERE print_edition AND copies_ended_at IS NULL AND NOT lacks_address
    AND NOT EXISTS (SELECT FROM subscriptions s JOIN postal_addresses a ON a.subscriber_id = s.subscriber_id
        WHERE s.id = terms.subscription_id AND a.since IS NULL AND a.replaced_at IS NULL)
"""
_MARK = f"{_MARK_ALL} AND invoice_id > :after AND invoice_id <= :last"


def _mark_terms_without_address() -> None:
    connection, after = op.get_bind(), ""
    while (last := connection.execute(sa.text(_NEXT), {"after": after}).scalar()) is not None:
        connection.execute(sa.text(_MARK), {"after": after, "last": last})
        after = last


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE terms ADD COLUMN IF NOT EXISTS earlier_print timestamptz[] NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE terms ADD COLUMN IF NOT EXISTS paid_by_balance bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE terms ADD COLUMN IF NOT EXISTS lacks_address boolean NOT NULL DEFAULT false")
    with op.get_context().autocommit_block():
        op.create_index(
            "terms_lacks_address_idx",
            "terms",
            ["subscription_id"],
            postgresql_where=sa.text("lacks_address"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        if op.get_context().as_sql:  # a script can't loop
            op.execute(_MARK_ALL)
        else:
            _mark_terms_without_address()
        op.create_index(
            "postal_addresses_unusable_idx",
            "postal_addresses",
            ["subscriber_id"],
            postgresql_where=sa.text("replaced_at IS NULL AND NOT is_usable"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "postal_addresses_country_idx",
            "postal_addresses",
            ["country"],
            postgresql_where=sa.text("replaced_at IS NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "terms_earlier_print_idx",
            "terms",
            ["subscription_id"],
            postgresql_where=sa.text("earlier_print <> '{}'"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "back_issues_ordered_by_idx",
            "back_issues",
            ["ordered_by", "created_at"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for name in (
            "back_issues_ordered_by_idx",
            "terms_earlier_print_idx",
            "terms_lacks_address_idx",
            "postal_addresses_unusable_idx",
            "postal_addresses_country_idx",
        ):
            op.drop_index(name, postgresql_concurrently=True, if_exists=True)
    op.drop_column("terms", "lacks_address")
    op.drop_column("terms", "paid_by_balance")
    op.drop_column("terms", "earlier_print")
