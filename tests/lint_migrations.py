"""Lint the SQL of every migration for locks and rewrites: ``python -m tests.lint_migrations``."""

import io
import re
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from alembic import command

from app.db.engine import schema

# Time-outs are set once for every migration, in migrations/env.py.
OF_ALEMBICS_OWN = re.compile(r"CREATE TABLE alembic_version .*?;$", re.MULTILINE | re.DOTALL)
LEFT_OUT = ("prefer-robust-stmts", "require-statement-timeout", "require-lock-timeout")


def main() -> int:
    """Print what squawk finds; return its exit status."""
    settings = schema.config()
    sql = io.StringIO()
    settings.output_buffer = sql
    with redirect_stdout(sql):
        command.upgrade(settings, "head", sql=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrations.sql"
        path.write_text(OF_ALEMBICS_OWN.sub("", sql.getvalue()))
        left_out = [part for rule in LEFT_OUT for part in ("-e", rule)]
        squawk = Path(sys.executable).with_name("squawk")
        return subprocess.run([squawk, "--pg-version", "15", *left_out, path], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
