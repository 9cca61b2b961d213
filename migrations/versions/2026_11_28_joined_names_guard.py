"""
Keep ``joined_name`` true while workers of the release before run, which do not know it.

They index a reader again without the joined parts, and erase a reader without emptying the column. Both write
``indexed_name``: if ``joined_name`` was not written anew with it, it is emptied. So the joined parts become due again, and no
name of an erased reader is left. Once no worker of that release runs, it changes nothing.

Lock: SHARE ROW EXCLUSIVE on subscribers for a moment, to add the trigger.
"""

from alembic import op

revision = "joined_names_guard"
down_revision = "searched_ids"
branch_labels = None
depends_on = None

_EMPTY = """
CREATE OR REPLACE FUNCTION subscribers_empty_joined_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.joined_name := NULL;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.execute(_EMPTY)
    op.execute(
        "CREATE OR REPLACE TRIGGER subscribers_joined_name BEFORE UPDATE OF indexed_name ON subscribers"
        " FOR EACH ROW WHEN (NEW.joined_name IS NOT NULL AND NEW.joined_name = OLD.joined_name)"
        " EXECUTE FUNCTION subscribers_empty_joined_name()"
    )


def downgrade() -> None:
    """Undo."""
    op.execute("DROP TRIGGER subscribers_joined_name ON subscribers")
    op.execute("DROP FUNCTION subscribers_empty_joined_name()")
