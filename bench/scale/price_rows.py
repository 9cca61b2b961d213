"""The columns of price migrations and their changes, for :mod:`bench.scale.fill`. All open changes are of the first one."""

from bench.scale.ids import sql_id

PRICE_MIGRATION = {
    "id": sql_id("pmg", "k"),
    "plan": "'annual'",
    "currency": "'usd'",
    "targets": "'[]'",
    "versions": "ARRAY[]::text[]",
    "from_at": "now()",
    "status": "CASE WHEN k = 0 THEN 'running' ELSE 'finished' END",
    "publisher_sends_notices": "true",
    "requested_by": "'operator:ops'",
    "created_at": "now() - interval '1 day' * k",
    "work_key": "'price_migration'",
}
PRICE_CHANGE = {
    "id": sql_id("pcg", "k"),
    "migration_id": sql_id("pmg", "k % 10"),
    "stripe_id": sql_id("sub", "k % {s}"),
    "subscription_id": sql_id("scr", "k % {s}"),
    "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"),
    "status": "CASE WHEN k % 10 = 0 THEN 'planned' ELSE 'completed' END",
    "currency": "'usd'",
    "items": "'[]'",
    "renewal_at": "now() + interval '1 day'",
    "act_at": "CASE WHEN k % 10 = 0 THEN now() END",
    "work_key": "'price:' || " + sql_id("sub", "k % {s}"),
}
