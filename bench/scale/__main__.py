"""`python -m bench.scale`: fill a database, and print the plan and the time of every query that can grow."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from app.db.engine import embedded
from bench.scale import backlog
from bench.scale.fill import Size, create, fill
from bench.scale.plans import summary
from bench.scale.run import explain_all

DESCRIPTION = """\
Fill a database with readers who have a few years of history, run every query of app/db that can grow, and print its time
and its plan. A query whose cost grows with a table is a finding: a sequential scan, a sort on disk, or a scan of more than
a few thousand rows. With findings, the exit status is 1."""
PAYLOAD_BYTES = 400  # of an event, reduced to what is stored of it


def main() -> int:
    """Fill, explain and report. Return the exit status."""
    options = _parser().parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="newsstand-scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # root starts the database server as another user
    try:
        return asyncio.run(_run(folder, Size(options.subscribers), options))
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


async def _run(folder: Path, size: Size, options: argparse.Namespace) -> int:
    maintenance = embedded.ensure(folder, options=("-c", "max_wal_size=4GB", "-c", "autovacuum=off"))
    name = f"scale_{size.readers}"
    started_at = time.monotonic()
    if not await _exists(maintenance, name):
        dsn = await create(maintenance, name)
        await fill(dsn, size, report=_report, payload=payload(PAYLOAD_BYTES))
        _report(f"filled in {time.monotonic() - started_at:.0f} s")
    dsn = await create(maintenance, name)
    print(await sizes(dsn, size))
    findings = []
    for due in options.due:
        await backlog.make_due(dsn, due)
        print(f"\nWith {due:,} due events:\n")
        async for report in explain_all(dsn, size):
            plans = "; ".join(summary(one.plan) for one in report.explained)
            print(f"{report.milliseconds:10.1f} ms  {report.query}: {plans}", flush=True)
            findings += [f"with {due:,} due events: {one}" for one in report.findings]
    print(f"\n{len(findings)} findings", *findings, sep="\n")
    return 1 if findings else 0


def payload(size: int) -> str:
    """Return the payload of an event, of about ``size`` bytes, with the repetition of real ones."""
    lines = '{"id": "evt_SUBSCRIPTION", "object": "event", "data": {"object": {"id": "sub_SUBSCRIPTION", "lines": ['
    line = 0
    while len(lines) < size:
        line += 1
        lines += (
            f'{{"id": "il_{line:04}SUBSCRIPTION", "object": "line_item", "amount": {line * 317}, "currency": "usd"}},'
        )
    return lines + "{}]}}}"


async def sizes(dsn: str, size: Size) -> str:
    """Return a table of the sizes of all large tables with their indexes, in all and for each reader."""
    connection = await asyncpg.connect(dsn)
    found = await connection.fetch(
        "SELECT relname, reltuples::bigint AS rows, pg_table_size(oid) AS data, pg_indexes_size(oid) AS indexes"
        " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples > 1000"
        " ORDER BY pg_total_relation_size(oid) DESC"
    )
    total = await connection.fetchval("SELECT pg_database_size(current_database())")
    await connection.close()
    lines = [f"{'table':22}{'rows':>12}{'data':>10}{'indexes':>10}  bytes for each reader"]
    lines += [
        f"{row['relname']:22}{row['rows']:12,}{_megabytes(row['data'])}{_megabytes(row['indexes'])}"
        f"{(row['data'] + row['indexes']) / size.readers:10.0f}"
        for row in found
    ]
    return "\n".join([*lines, f"{'all':22}{'':12}{_megabytes(total)}{'':10}{total / size.readers:10.0f}"])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:7,.0f} MB"


async def _exists(maintenance: str, name: str) -> bool:
    connection = await asyncpg.connect(maintenance)
    try:
        return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name))
    finally:
        await connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=DESCRIPTION)
    parser.add_argument("--subscribers", type=int, default=1_000_000, help="readers (default: 1,000,000)")
    parser.add_argument(
        "--due",
        type=int,
        nargs="+",
        default=[0, 20_000],
        help="due events at which everything is measured (default: 0 20000)",
    )
    parser.add_argument("--folder", type=Path, help="where the database is (default: a new temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the folder, and use the database in it again")
    return parser


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
