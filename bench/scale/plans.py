"""
Explain statements with their parameters, and judge the plans.

A plan is bad if what it reads grows with a table rather than with its result: a sequential scan of a large table, more than
a few thousand rows read, or a sort or a hash that needs the disk. PostgreSQL may choose another plan for a prepared
statement from its sixth execution on, so both are judged.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg

Plan = Mapping[str, Any]
CUSTOM_PLANS = 5  # before PostgreSQL considers a generic plan
LARGE = 2_000  # rows of a table whose sequential scan is a finding
SCANS = (
    "Seq Scan",
    "Index Scan",
    "Index Only Scan",
    "Bitmap Heap Scan",
    "Bitmap Index Scan",
    "Tid Scan",
    "Tid Range Scan",
)
EXPLAINABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The plan of a statement, its time and what is wrong with it."""

    statement: str
    plan: Plan
    milliseconds: float
    findings: tuple[str, ...]


async def explain(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str, parameters: Sequence[object], *, max_rows: int
) -> Explained | None:
    """
    Run a statement in the current transaction and return its plan; None if it has none, such as ``BEGIN``.

    :param max_rows: how many rows one node of the plan may read.
    """
    if not statement.lstrip(" \n(").upper().startswith(EXPLAINABLE):
        return None
    large = await _large_tables(connection)
    await connection.execute(f"PREPARE explained AS {statement}")
    run = "EXECUTE explained" + (f" ({', '.join(map(_literal, parameters))})" if parameters else "")
    first, *_ = [await _plan(connection, f"EXPLAIN (FORMAT JSON) {run}") for _ in range(CUSTOM_PLANS)]
    later = await _plan(connection, f"EXPLAIN (FORMAT JSON) {run}")
    findings: dict[str, None] = {}
    if shape(first["Plan"]) != shape(later["Plan"]):
        await connection.execute("SAVEPOINT custom; SET LOCAL plan_cache_mode = force_custom_plan")
        custom = await _plan(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {run}")
        await connection.execute("ROLLBACK TO SAVEPOINT custom")
        findings |= dict.fromkeys(judge(custom["Plan"], large, max_rows=max_rows))
    found = await _plan(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {run}")
    await connection.execute("DEALLOCATE explained")
    findings |= dict.fromkeys(judge(found["Plan"], large, max_rows=max_rows))
    return Explained(
        statement=statement,
        plan=found["Plan"],
        milliseconds=found["Planning Time"] + found["Execution Time"],
        findings=tuple(findings),
    )


def judge(plan: Plan, large: Mapping[str, float], *, max_rows: int) -> Iterator[str]:
    """Yield what is wrong with an executed plan. ``large`` has the rows of the tables that may not be scanned."""
    for node in nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name", node.get("Index Name", ""))
        loops = node.get("Actual Loops", 1)
        is_small = "Relation Name" in node and table not in large
        if kind == "Seq Scan" and loops and not is_small:
            yield f"sequential scan of {table}"
        elif kind in SCANS and not is_small and (rows := rows_read(node)) > max_rows:
            yield f"{rows:,.0f} rows of {table} are read"
        if node.get("Sort Space Type") == "Disk":
            yield "sorts on disk"
        if node.get("Hash Batches", 1) > 1 or node.get("HashAgg Batches", 1) > 1:
            yield "hashes on disk"


def rows_read(node: Plan) -> float:
    """Return how many rows a node has read, including those that it dropped."""
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    rows: float = (node.get("Actual Rows", 0) + dropped) * node.get("Actual Loops", 1)
    return rows


def nodes(plan: Plan) -> Iterator[Plan]:
    """Yield all nodes of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def shape(plan: Plan) -> list[tuple[str, str, str]]:
    """Return the scans and joins of a plan, without costs."""
    return [(node["Node Type"], node.get("Relation Name", ""), node.get("Index Name", "")) for node in nodes(plan)]


def summary(plan: Plan) -> str:
    """Return the scans of a plan in a line."""
    scans = [
        f"{node['Node Type']} {node.get('Index Name') or node.get('Relation Name', '')}"
        for node in nodes(plan)
        if node["Node Type"] in SCANS and not node["Node Type"].startswith("Bitmap Heap")
    ]
    return ", ".join(dict.fromkeys(scans)) or plan["Node Type"]


async def _large_tables(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, float]:
    found = await connection.fetch(
        "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND reltuples >= $1",
        LARGE,
    )
    return {row["relname"]: row["reltuples"] for row in found}


async def _plan(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await connection.fetchval(statement))[0]
    return found


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return "'" + _text(value).replace("'", "''") + "'"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, list | tuple | set | frozenset):
        return "{" + ",".join(_element(one) for one in value) + "}"
    return str(value)


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
