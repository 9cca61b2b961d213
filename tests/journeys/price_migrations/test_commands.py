"""``newsstand catalogue migrate``: the dry run, what it refuses, the start, the progress and the stop."""

import asyncio
import csv
import io
import subprocess

from tests.journeys.price_migrations.test_price_migrations import subscribed
from tests.support.commands import run_command
from tests.support.price_migrations import KEY, new_price
from tests.support.processes import environment
from tests.support.shop import Shop

MIGRATE = ("catalogue", "migrate", "annual", "--from", "2026-06-01")


async def run(shop: Shop, *words: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(run_command, words, environment(shop.settings))


async def test_an_operator_previews_starts_follows_and_stops_a_migration(shop: Shop) -> None:
    _, held = await subscribed(shop)
    _, ending = await subscribed(shop, "ben")
    await shop.stripe_post(f"/v1/subscriptions/{ending}", cancel_at_period_end="true")
    price = await new_price(shop, 59_00)
    await shop.wait_until_idle()

    unknown = await run(shop, *MIGRATE, "--to", "price_nothing", "--dry-run")
    assert (unknown.returncode, "price_nothing is not a price of the plan annual" in unknown.stderr) == (1, True)
    wrong = await run(shop, "catalogue", "migrate", "annual", "--to", KEY, "--from", "June", "--dry-run")
    assert wrong.returncode == 2
    dry = await run(shop, *MIGRATE, "--to", KEY, "--dry-run")
    rows = {row["subscription"]: row for row in csv.DictReader(io.StringIO(dry.stdout))}
    assert (rows[held]["from"], rows[held]["to"], rows[held]["renewal"]) == ("49.00 usd", "59.00 usd", "2027-03-01")
    assert rows[ending]["keeps"] == "ending"
    assert "1 change, 1 keep their price (1 ending)." in dry.stderr
    unasked = await run(shop, *MIGRATE, "--to", price)
    assert (unasked.returncode, "Add --yes" in unasked.stderr) == (2, True)
    untold = await run(shop, *MIGRATE, "--to", price, "--yes")
    assert (untold.returncode, "--publisher-sends-notices" in untold.stderr) == (1, True)
    assert await shop.rows("SELECT FROM price_migrations") == []

    started = await run(shop, *MIGRATE, "--to", price, "--yes", "--publisher-sends-notices")
    assert started.returncode == 0, started.stderr
    await shop.wait_until_idle()
    ((migration,),) = [tuple(row.values()) for row in await shop.rows("SELECT id FROM price_migrations")]
    second = await run(shop, *MIGRATE, "--to", price, "--yes", "--publisher-sends-notices")
    assert (second.returncode, "is not finished" in second.stderr) == (1, True)
    listed = await run(shop, "catalogue", "migrations")
    assert f"{migration}: annual to digital 59.00 usd, running" in listed.stdout
    assert "1 planned, 0 told, 0 with the new price, 0 renewed; 1 keep their price (1 ending)" in listed.stdout
    changes = await run(shop, "catalogue", "migrations", str(migration), "--changes")
    assert {row["status"] for row in csv.DictReader(io.StringIO(changes.stdout))} == {"planned", "left_out"}

    stopped = await run(shop, "catalogue", "stop-migration", str(migration))
    assert (stopped.returncode, "stopped" in stopped.stdout) == (0, True)
    again = await run(shop, "catalogue", "stop-migration", str(migration))
    assert again.returncode == 1
    (entry,) = await shop.rows("SELECT actor FROM audit_log WHERE action = 'price_migration.stopped'")
    assert entry["actor"].startswith("operator:")
