"""The rows of the outbox and of webhooks."""

from bench.scale.ids import sql_id
from bench.scale.rows import FEW, Rows

TABLES_OF_EVENTS = (
    Rows("outbox_events", 2, {
        "id": sql_id("obx", "k"), "type": "'entitlements.changed'", "version": "1",
        "subscriber_id": sql_id("rdr", "k % {n}"), "sub": "'auth0|' || md5((k % {n})::text)",
        "data": "'{{\"after\": {{}}}}'",
        "created_at": "now() - interval '30 days' * (1 - k::float8 / {of_table})",
        "queued_at": "CASE WHEN k > {of_table} * 0.999 THEN NULL ELSE now() END",
    }),
    Rows("webhook_endpoints", FEW, {
        "id": sql_id("whe", "k"), "name": "'the site'", "url": "'https://hooks.example.com'",
        "types": "ARRAY[]::text[]", "encrypted_secret": "'x'", "created_by": "'staff:admin'",
        "disabled_at": "CASE WHEN k > 2 THEN now() END",
    }),
    Rows("webhook_deliveries", 4, {
        "endpoint_id": sql_id("whe", "k % 2"), "sequence": "k / 2 + 1", "event_id": sql_id("obx", "k / 2"),
        "type": "'entitlements.changed'", "subscriber_id": sql_id("rdr", "(k / 2) % {n}"),
        "lane": sql_id("whe", "k % 2") + " || ':' || " + sql_id("rdr", "(k / 2) % {n}"),
        "status": "CASE WHEN k % 1000 = 0 THEN 'pending' WHEN k % 1000 = 1 THEN 'failed' ELSE 'delivered' END",
        "created_at": "now() - interval '30 days' * (1 - k::float8 / {of_table})",
    }),
    Rows("webhook_lanes", 3, {
        "id": sql_id("whe", "k % 2") + " || ':' || " + sql_id("rdr", "k / 2"), "endpoint_id": sql_id("whe", "k % 2"),
        "work_key": "'webhook:' || " + sql_id("whe", "k % 2") + " || ':' || " + sql_id("rdr", "k / 2"),
        "due_at": "now() + interval '1 second' * (k - 5000)",
    }),
)  # fmt: skip
