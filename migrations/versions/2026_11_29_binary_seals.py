"""
The hashes of the audit chain as bytes: 29 percent less for the seals, which grow with every entry and never shrink.

``audit_chain`` takes the place of ``audit_seals``. A view with the old name has the seals in hexadecimal, and takes those of
workers of the release before. **The next release drops it**: the view ``audit_seals`` and its function.

The seals are copied 10,000 at a time, each batch in its own transaction, into a table that has another name until it is
complete: no process may take a part of the chain for the whole. Seals never change, so sealing and reading continue. A killed
run continues after the last seal that it has copied. The transaction that swaps the tables copies what was sealed meanwhile.

A hash that is not 64 lower-case hexadecimal digits was written by hand: the service writes no other. It can't be stored, and
a broken chain must not prevent an upgrade, so the SHA-256 hash of its text takes its place. No entry has that hash, so
``newsstand audit verify`` reports the same break as before. The migration prints the original values.

The other hashes stay text. API keys, work items and refunds have few; those of sign-outs and of requests with an
``Idempotency-Key`` are deleted within days; a reader has a consent or two, and few entries have a note.

Locks: nobody else uses the new table. The swap first takes the advisory lock of sealing, so that it never waits for a worker
that waits for it, then ACCESS EXCLUSIVE on the seals. Both are held for milliseconds, because few seals are left to copy.
"""

import sqlalchemy as sa
from alembic import op

revision = "binary_seals"
down_revision = "print_suspended"
branch_labels = None
depends_on = None

_IS_SWAPPED = "SELECT to_regclass('audit_chain') IS NOT NULL"
_WAIT_FOR_SEALING = "SELECT pg_advisory_xact_lock(hashtextextended('newsstand: the end of the audit chain', 0))"
# A pattern with {64} takes ten times as long.
_NO_HASHES = """
SELECT seq, hash, previous FROM audit_seals
WHERE octet_length(hash) <> 64 OR hash ~ '[^0-9a-f]' OR octet_length(previous) <> 64 OR previous ~ '[^0-9a-f]'
ORDER BY seq LIMIT 100
"""
_COPY = """
INSERT INTO audit_chain_copy (seq, audit_id, hash, previous)
SELECT seq, audit_id,
    CASE WHEN octet_length(hash) <> 64 OR hash ~ '[^0-9a-f]' THEN sha256(convert_to(hash, 'UTF8'))
        ELSE decode(hash, 'hex') END,
    CASE WHEN octet_length(previous) <> 64 OR previous ~ '[^0-9a-f]' THEN sha256(convert_to(previous, 'UTF8'))
        ELSE decode(previous, 'hex') END
FROM audit_seals
WHERE seq > (SELECT coalesce(max(seq), (SELECT min(seq) - 1 FROM audit_seals)) FROM audit_chain_copy) ORDER BY seq
"""
_BATCH = " LIMIT 10000"
_APPEND_ONLY = """
CREATE OR REPLACE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
"""
_VIEW = """
CREATE VIEW audit_seals AS
SELECT seq, audit_id, encode(hash, 'hex') AS hash, encode(previous, 'hex') AS previous FROM audit_chain
"""
_CHAIN = """
CREATE FUNCTION audit_seals_are_chained() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_chain (seq, audit_id, hash, previous)
    VALUES (NEW.seq, NEW.audit_id, decode(NEW.hash, 'hex'), decode(NEW.previous, 'hex'));
    RETURN NEW;
END $$
"""
_VIEW_INSERTS = """
CREATE TRIGGER audit_seals_are_chained INSTEAD OF INSERT ON audit_seals
FOR EACH ROW EXECUTE FUNCTION audit_seals_are_chained()
"""
_VIEW_IS_APPEND_ONLY = """
CREATE TRIGGER audit_is_append_only INSTEAD OF UPDATE OR DELETE ON audit_seals
FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()
"""
_GRANT_AGAIN = """
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT privilege_type AS what, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS whom
        FROM pg_class CROSS JOIN aclexplode(relacl) WHERE oid = '{of}'::regclass AND grantee <> relowner
    LOOP
        EXECUTE format('GRANT %s ON {to} TO %s', granted.what, granted.whom);
    END LOOP;
END $$
"""


def upgrade() -> None:
    """Apply."""
    is_script = op.get_context().as_sql
    if not is_script and op.get_bind().scalar(sa.text(_IS_SWAPPED)):
        return
    op.create_table(
        "audit_chain_copy",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("audit_chain_hash_size_check")),
        sa.CheckConstraint("octet_length(previous) = 32", name=op.f("audit_chain_previous_size_check")),
        sa.PrimaryKeyConstraint("seq", name=op.f("audit_chain_pkey")),
        sa.UniqueConstraint("audit_id", name=op.f("audit_chain_audit_id_key")),
        if_not_exists=True,
    )
    op.execute(_APPEND_ONLY.format(table="audit_chain_copy"))
    with op.get_context().autocommit_block():
        if not is_script:
            _print_what_is_no_hash()
            _copy()
        op.execute("ANALYZE audit_chain_copy")
    op.execute(_WAIT_FOR_SEALING)
    op.execute("LOCK TABLE audit_seals IN ACCESS EXCLUSIVE MODE")
    if is_script:
        op.execute(_COPY)
    else:
        _copy()
    op.execute("-- squawk-ignore renaming-table\nALTER TABLE audit_chain_copy RENAME TO audit_chain")
    op.execute("-- squawk-ignore renaming-table\nALTER TABLE audit_seals RENAME TO audit_seals_in_text")
    op.execute(_VIEW)
    op.execute(_CHAIN)
    op.execute(_VIEW_INSERTS)
    op.execute(_VIEW_IS_APPEND_ONLY)
    op.execute(_GRANT_AGAIN.format(of="audit_seals_in_text", to="audit_chain, audit_seals"))
    op.execute("-- squawk-ignore ban-drop-table\nDROP TABLE audit_seals_in_text")


def _print_what_is_no_hash() -> None:
    """Print the values that can't be copied."""
    for seq, hash_, previous in op.get_bind().execute(sa.text(_NO_HASHES)):
        print(
            f"Seal {seq} has a value that is no hash, so the audit log was changed: hash {hash_!r}, previous {previous!r}.",
            "The SHA-256 hash of the value takes its place. Run `newsstand audit verify`.",
            flush=True,
        )


def _copy() -> None:
    """Copy the seals after those that were copied before."""
    while op.get_bind().execute(sa.text(_COPY + _BATCH)).rowcount:
        pass


def downgrade() -> None:
    """Undo, in one transaction: sealing waits for it."""
    op.execute(_WAIT_FOR_SEALING)
    op.execute("LOCK TABLE audit_chain IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER VIEW audit_seals RENAME TO audit_seals_in_text")
    op.create_table(
        "audit_seals",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
    )
    op.execute("INSERT INTO audit_seals SELECT * FROM audit_seals_in_text")
    op.create_primary_key(op.f("audit_seals_pkey"), "audit_seals", ["seq"])
    op.create_unique_constraint(op.f("audit_seals_audit_id_key"), "audit_seals", ["audit_id"])
    op.execute(_APPEND_ONLY.format(table="audit_seals"))
    op.execute(_GRANT_AGAIN.format(of="audit_seals_in_text", to="audit_seals"))
    op.execute("DROP VIEW audit_seals_in_text")
    op.execute("DROP FUNCTION audit_seals_are_chained()")
    op.drop_table("audit_chain")
