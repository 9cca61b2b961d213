"""
The salted hash of an entry's note, and the two changes that erasing a reader makes to append-only rows.

A reader's ``sub`` in the actor of an entry may be replaced by their subscriber's ID, and the note of an issue adjustment may
be emptied. Every other change stays forbidden. The service's role may not update these tables, so it calls functions that
run as their owner. Their search path ends with the temporary schema, so that no caller can put a table of theirs in place of
ours, and only the role that ``newsstand migrate`` names may call them.

Locks: ACCESS EXCLUSIVE on audit_log, audit_notes and issue_adjustments for milliseconds: columns without a default, and
triggers that are replaced. Nothing is scanned or rewritten. The release that is running leaves both columns empty.
"""

from alembic import op

revision = "audit_erasure"
down_revision = "reduced_payloads"
branch_labels = None
depends_on = None

TABLES = ("audit_log", "issue_adjustments")
ALLOWED_AUDIT = """
CREATE FUNCTION audit_log_only_replaces_readers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    replaced audit_log := NEW;
BEGIN
    replaced.actor := OLD.actor;
    IF replaced IS DISTINCT FROM OLD OR OLD.actor NOT LIKE 'reader:%' OR NEW.actor NOT LIKE 'reader:rdr\\_%' THEN
        RAISE EXCEPTION 'the audit log is append-only';
    END IF;
    RETURN NEW;
END $$
"""
ALLOWED_ADJUSTMENTS = """
CREATE FUNCTION issue_adjustments_only_empties_notes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    emptied issue_adjustments := NEW;
BEGIN
    emptied.note := OLD.note;
    IF emptied IS DISTINCT FROM OLD OR NEW.note IS NOT NULL THEN
        RAISE EXCEPTION 'the rows of this table are append-only';
    END IF;
    RETURN NEW;
END $$
"""
REPLACE = """
CREATE FUNCTION replace_audit_actor(sub text, subscriber_id text) RETURNS SETOF bigint LANGUAGE sql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE audit_log SET actor = 'reader:' || $2 WHERE actor = 'reader:' || $1 RETURNING id
$$
"""
EMPTY = """
CREATE FUNCTION empty_adjustment_notes(subscriber_id text) RETURNS SETOF text LANGUAGE sql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE issue_adjustments SET note = NULL
    WHERE note IS NOT NULL AND subscription_id IN (SELECT s.id FROM subscriptions s WHERE s.subscriber_id = $1)
    RETURNING id
$$
"""
UPDATES = (
    "CREATE TRIGGER audit_is_append_only BEFORE DELETE OR TRUNCATE ON audit_log"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
    "CREATE TRIGGER audit_log_updates BEFORE UPDATE ON audit_log"
    " FOR EACH ROW EXECUTE FUNCTION audit_log_only_replaces_readers()",
    "CREATE TRIGGER issue_adjustments_append_only BEFORE DELETE OR TRUNCATE ON issue_adjustments"
    " FOR EACH STATEMENT EXECUTE FUNCTION rows_are_append_only()",
    "CREATE TRIGGER issue_adjustments_updates BEFORE UPDATE ON issue_adjustments"
    " FOR EACH ROW EXECUTE FUNCTION issue_adjustments_only_empties_notes()",
)
NO_UPDATES = (
    "CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
    "CREATE TRIGGER issue_adjustments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON issue_adjustments"
    " FOR EACH STATEMENT EXECUTE FUNCTION rows_are_append_only()",
)


def upgrade() -> None:
    """Apply."""
    op.execute("ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS note_hash text")
    op.execute("ALTER TABLE audit_notes ADD COLUMN IF NOT EXISTS salt text")
    for function in (ALLOWED_AUDIT, ALLOWED_ADJUSTMENTS):
        op.execute(function)
    op.execute("DROP TRIGGER audit_is_append_only ON audit_log")
    op.execute("DROP TRIGGER issue_adjustments_append_only ON issue_adjustments")
    for trigger in UPDATES:
        op.execute(trigger)
    for function in (REPLACE, EMPTY):
        op.execute(function)
    for name in ("replace_audit_actor(text, text)", "empty_adjustment_notes(text)"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC")


def downgrade() -> None:
    """Undo. Entries that were sealed with the hash of their note don't verify without it."""
    op.execute("DROP FUNCTION empty_adjustment_notes(text)")
    op.execute("DROP FUNCTION replace_audit_actor(text, text)")
    op.execute("DROP TRIGGER issue_adjustments_updates ON issue_adjustments")
    op.execute("DROP TRIGGER audit_log_updates ON audit_log")
    op.execute("DROP TRIGGER issue_adjustments_append_only ON issue_adjustments")
    op.execute("DROP TRIGGER audit_is_append_only ON audit_log")
    for trigger in NO_UPDATES:
        op.execute(trigger)
    op.execute("DROP FUNCTION issue_adjustments_only_empties_notes()")
    op.execute("DROP FUNCTION audit_log_only_replaces_readers()")
    op.drop_column("audit_notes", "salt")
    op.drop_column("audit_log", "note_hash")
